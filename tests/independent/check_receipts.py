"""The chain of receipts by its description alone: sha-256 of each line before `,"hash":`, `prev` of the line before.

Usage: check_receipts.py FOLDER. Prints `read N records, head N:HASH` or what is wrong, with exit code 1.
"""
import glob, hashlib, json, os, sys

prev, due, head = None, None, None
for path in sorted(glob.glob(os.path.join(sys.argv[1], "receipts-*.jsonl"))):
    data = open(path, "rb").read()
    if not data.endswith(b"\n"):
        sys.exit(f"{path}: the last line does not end")
    for number, line in enumerate(data[:-1].split(b"\n"), 1):
        record = json.loads(line)
        body, _, rest = line.rpartition(b',"hash":')
        digest = hashlib.sha256(body).hexdigest()
        if rest != b'"' + digest.encode() + b'"}':
            sys.exit(f"{path}:{number}: hash")
        if due is None:
            prev, due = ("0" * 64, 1) if path.endswith("-00000001.jsonl") else (record["prev"], record["n"])
        if record["n"] != due or record["prev"] != prev:
            sys.exit(f"{path}:{number}: record {record['n']}, due {due}")
        if (number == 1) != (record["kind"] == "begin"):
            sys.exit(f"{path}:{number}: begin")
        prev, due, head = digest, due + 1, f"{record['n']}:{digest}"
print(f"read {due - 1} records, head {head}")
