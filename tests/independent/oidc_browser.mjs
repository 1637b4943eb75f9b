// Somebody in a browser: opens an address, fills in each form that comes, follows where it leads, keeps cookies. Ends when
// no form comes any more, and writes the text of the last page. Arguments: the address, a name to sign in with.
const [start, name] = process.argv.slice(2);
const cookies = new Map();

async function go(url, options = {}) {
  for (let hop = 0; hop < 20; hop += 1) {
    const cookie = [...cookies].map(([key, value]) => `${key}=${value}`).join("; ");
    const answer = await fetch(url, { ...options, redirect: "manual", headers: { ...options.headers, cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      const value = pair.slice(at + 1);
      if (value) cookies.set(pair.slice(0, at), value);
      else cookies.delete(pair.slice(0, at));
    }
    if (answer.status < 300 || answer.status >= 400) return { url, status: answer.status, text: await answer.text() };
    url = new URL(answer.headers.get("location"), url).href;
    options = {};
  }
  throw new Error("too many redirects");
}

const attribute = (tag, wanted) => new RegExp(`\\s${wanted}="([^"]*)"`).exec(tag)?.[1];

let page = await go(start);
for (let step = 0; step < 10; step += 1) {
  const form = /<form[\s\S]*?<\/form>/.exec(page.text)?.[0];
  if (!form) break;
  const fields = new URLSearchParams();
  for (const [tag] of form.matchAll(/<(?:input|button)[^>]*>/g)) {
    const field = attribute(tag, "name");
    if (!field || field === "abort") continue;
    fields.set(field, field === "login" ? name : field === "password" ? "any" : attribute(tag, "value") ?? "");
  }
  const action = new URL((attribute(form, "action") ?? page.url).replaceAll("&amp;", "&"), page.url).href;
  page = await go(action, { method: "POST", body: fields, headers: { "content-type": "application/x-www-form-urlencoded" } });
}
console.log(page.status, page.text.replace(/<(style|script)[\s\S]*?<\/\1>/g, " ").replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim());
