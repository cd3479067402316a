//! Scripts and style sheets without comments and needless blanks.
//!
//! The page's files are written to be read by people, and sent without what only people read. Nothing is renamed or
//! rearranged: a test compares the syntax trees of what is written and what is sent.

/// A script without comments, and with only those blanks and line breaks that separate something.
///
/// Knows as much of JavaScript's grammar as that takes: strings, templates, and that a slash begins a regular expression
/// where a value can begin.
pub(super) fn script(source: &str) -> String {
    let mut script = Script { source, at: 0, out: String::with_capacity(source.len()), ..Script::default() };
    while script.at < source.len() {
        script.token();
    }
    script.out.push('\n');
    script.out
}

#[derive(Default)]
struct Script<'a> {
    source: &'a str,
    at: usize,
    out: String,
    /// Whether a blank or a line break came since the last token.
    blank: bool,
    line: bool,
    /// Whether the last token ends a value, so that a slash divides.
    value: bool,
    /// For each template that is open around here, the braces that are open in its expression.
    templates: Vec<usize>,
}

/// Words after which a value begins.
const BEFORE_VALUES: [&str; 13] =
    ["return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "instanceof", "await"];

impl Script<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn token(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        if first.is_whitespace() {
            self.line |= first == '\n';
            self.blank = true;
            self.at += first.len_utf8();
        } else if rest.starts_with("//") {
            self.at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
            self.line |= rest[..length].contains('\n');
            self.blank = true;
            self.at += length;
        } else if is_word(first) {
            let length = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            self.value = !BEFORE_VALUES.contains(&&rest[..length]);
            self.emit(length);
        } else {
            self.punctuation(first);
        }
    }

    fn punctuation(&mut self, first: char) {
        let rest = self.rest();
        match first {
            '"' | '\'' => {
                let length = quoted(rest, first);
                self.value = true;
                self.emit(length);
            }
            '`' => self.template(),
            '/' if !self.value => {
                let length = regular_expression(rest);
                self.value = true;
                self.emit(length);
            }
            '}' if self.templates.last() == Some(&0) => {
                self.templates.pop();
                self.template();
            }
            _ => {
                // `a++ / b` divides.
                let doubled = matches!(first, '+' | '-') && rest[1..].starts_with(first);
                if !doubled {
                    self.value = matches!(first, ')' | ']' | '}');
                }
                match (first, self.templates.last_mut()) {
                    ('{', Some(open)) => *open += 1,
                    ('}', Some(open)) => *open -= 1,
                    _ => {}
                }
                self.emit(if doubled { 2 } else { first.len_utf8() });
            }
        }
    }

    /// A template from its opening mark, or from the end of an expression in it, to the next expression or its end.
    fn template(&mut self) {
        let rest = self.rest();
        let mut escaped = false;
        let mut length = rest.len();
        for (at, letter) in rest.char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if letter == '\\' {
                escaped = true;
            } else if letter == '`' {
                length = at + 1;
                self.value = true;
                break;
            } else if rest[at..].starts_with("${") {
                length = at + 2;
                self.value = false;
                self.templates.push(0);
                break;
            }
        }
        self.emit(length);
    }

    /// Takes over a token, with what must separate it from the one before.
    fn emit(&mut self, length: usize) {
        let token = &self.source[self.at..self.at + length];
        if let (Some(before), Some(next)) = (self.out.chars().next_back(), token.chars().next()) {
            // Where a statement can't end or begin, a line break is a blank.
            let joins = matches!(before, '{' | '(' | '[' | ',' | ';' | ':' | '?' | '=' | '&' | '|' | '<' | '*')
                || matches!(next, ')' | ']' | '}' | ',' | ';' | '.' | ':' | '?' | '=' | '&' | '|');
            if self.line && !joins {
                self.out.push('\n');
            } else if self.blank && (is_word(before) && is_word(next) || pairs(before, next)) {
                self.out.push(' ');
            }
        }
        self.out.push_str(token);
        self.at += length;
        (self.blank, self.line) = (false, false);
    }
}

/// Whether a letter is part of a name or number.
fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$' | '#' | '\u{200c}' | '\u{200d}')
}

/// Whether two marks would mean something else side by side.
fn pairs(before: char, next: char) -> bool {
    matches!(
        (before, next),
        ('0'..='9', '.') | ('+', '+') | ('-', '-') | ('/', '/' | '*') | ('<', '!') | ('-', '>') | ('*', '/')
    )
}

/// The length of a string from its opening mark.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == mark => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a regular expression from its opening slash, without the flags, which are a word.
fn regular_expression(text: &str) -> usize {
    let (mut escaped, mut class) = (false, false);
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '/' if !class => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A style sheet without comments, line breaks and indentation.
pub(super) fn style(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    let mut blank = false;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let length = match first {
            _ if rest.starts_with("/*") => {
                blank = true;
                at += rest.find("*/").map_or(rest.len(), |end| end + 2);
                continue;
            }
            _ if first.is_whitespace() => {
                blank = true;
                at += first.len_utf8();
                continue;
            }
            '"' | '\'' => quoted(rest, first),
            _ => first.len_utf8(),
        };
        let before = out.chars().next_back().unwrap_or('{');
        // Before a colon, a blank makes it a selector's.
        if blank && !matches!(before, '{' | '}' | ';' | ',' | ':') && !matches!(first, '{' | '}' | ';' | ',') {
            out.push(' ');
        }
        blank = false;
        out.push_str(&rest[..length]);
        at += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_needless_blanks_of_a_script_go() {
        for (written, sent) in [
            ("// why\nlet a = 1;\n", "let a=1;"),
            ("/** @param {string} a */\nfunction f(a) {\n\treturn a;\n}\n", "function f(a){return a;}"),
            ("let a = /** @type {X} */ (b);", "let a=(b);"),
            ("a\n/* two\nlines */\nb", "a\nb"),
            ("let a = \"// no /* comment */\" + '\\'//';", "let a=\"// no /* comment */\"+'\\'//';"),
            ("x = `a  // ${ b + `c ${ {d: 1}.d } e` }  f`;", "x=`a  // ${b+`c ${{d:1}.d} e`}  f`;"),
            ("x = `a\n  \\` ${b}\n`;", "x=`a\n  \\` ${b}\n`;"),
            ("s.replace(/[/\"'`]\\/ +/g, \"\") / 2", "s.replace(/[/\"'`]\\/ +/g,\"\")/2"),
            ("return /a b/.test(c)", "return/a b/.test(c)"),
            ("a = b / c / d; e = (f) / g / h", "a=b/c/d;e=(f)/g/h"),
            ("a++ / b / c; d = e - -f + +g", "a++/b/c;d=e- -f+ +g"),
            ("let x = a\n+b", "let x=a\n+b"),
            ("let x = a\n[b]", "let x=a\n[b]"),
            ("a\n\t.b()\n\t?.c();", "a.b()?.c();"),
            ("if (a) b();\nelse c();\n}\nd", "if(a)b();else c();}\nd"),
            (
                "class A {\n\t#b = 1;\n\tget c() {\n\t\treturn this.#b;\n\t}\n\tasync *d() {}\n}",
                "class A{#b=1;get c(){return this.#b;}\nasync*d(){}}",
            ),
            ("1 .toString(); a < !b", "1 .toString();a< !b"),
            ("x = \"é 日本\"; // ü", "x=\"é 日本\";"),
        ] {
            assert_eq!(script(written).trim_end_matches('\n'), sent, "{written}");
        }
    }

    #[test]
    fn whatever_the_text_nothing_panics() {
        for text in ["\"", "`", "`${", "}", "/", "/*", "//", "'\\", "`${`${", "/[", "a/", "\u{feff}é/é", "`${}}`"] {
            script(text);
            style(text);
        }
    }

    #[test]
    fn a_style_sheet_means_the_same_without_comments() {
        for (written, sent) in [
            ("/* why */\n.a, .b > c {\n\tcolor: red;\n\tmargin: 0 4px;\n}\n", ".a,.b > c{color:red;margin:0 4px;}"),
            (".a :hover{}\n.a:hover {}", ".a :hover{}.a:hover{}"),
            ("a::after { content: \"/* x */  y\"; }", "a::after{content:\"/* x */  y\";}"),
            (
                "@media (max-width: 9px) and (print) { a { width: calc(1px + 2px); } }",
                "@media (max-width:9px) and (print){a{width:calc(1px + 2px);}}",
            ),
        ] {
            assert_eq!(style(written).trim_end(), sent);
        }
    }
}
