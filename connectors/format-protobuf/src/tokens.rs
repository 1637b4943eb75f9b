//! Words of a `.proto` file, each with its line.

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A name, with its dots.
    Name(String),
    Number(String),
    Text(String),
    Sign(char),
}

pub fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let letters: Vec<char> = text.chars().collect();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    let is = |at: usize, letter: char| letters.get(at) == Some(&letter);
    let run = |from: usize, take: &dyn Fn(char) -> bool| letters.iter().skip(from).take_while(|letter| take(**letter)).collect::<String>();
    while let Some(letter) = letters.get(at).copied() {
        match letter {
            '\n' => {
                line += 1;
                at += 1;
            }
            _ if letter.is_whitespace() || letter == '\u{feff}' => at += 1,
            '/' if is(at + 1, '/') => at += run(at, &|letter| letter != '\n').chars().count(),
            '/' if is(at + 1, '*') => {
                let begin = line;
                at += 2;
                while !(is(at, '*') && is(at + 1, '/')) {
                    line += usize::from(is(at, '\n'));
                    at += 1;
                    if at >= letters.len() {
                        return Err(format!("line {begin}: a comment that does not end"));
                    }
                }
                at += 2;
            }
            '"' | '\'' => {
                let mut content = String::new();
                at += 1;
                loop {
                    match letters.get(at) {
                        None | Some('\n') => return Err(format!("line {line}: a text that does not end")),
                        Some(end) if *end == letter => break,
                        Some('\\') => {
                            content.extend(letters.get(at + 1));
                            at += 2;
                        }
                        Some(other) => {
                            content.push(*other);
                            at += 1;
                        }
                    }
                }
                at += 1;
                out.push((Token::Text(content), line));
            }
            _ if letter.is_ascii_digit() => {
                let digits = run(at, &|letter| letter.is_ascii_alphanumeric() || letter == '.');
                at += digits.chars().count();
                out.push((Token::Number(digits), line));
            }
            _ if letter.is_ascii_alphabetic() || letter == '_' || letter == '.' => {
                let name = run(at, &|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.'));
                at += name.chars().count();
                out.push((Token::Name(name), line));
            }
            _ => {
                out.push((Token::Sign(letter), line));
                at += 1;
            }
        }
    }
    Ok(out)
}
