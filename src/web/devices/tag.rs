//! Tags: words of a note that begin with `#`. So they travel, are found, exported and taken back as the note is.

/// Longer is no word any more.
const CHARS_MAX: usize = 32;

/// In small letters, without the `#`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// As somebody types it, with `#` or without. The error is a sentence.
    pub fn read(text: &str) -> Result<Tag, String> {
        let word = text.trim().trim_start_matches('#');
        if word.is_empty() {
            return Err("No tag is given. Write one word, like kitchen.".into());
        }
        if word.chars().any(|c| !is_part(c)) {
            let shown: String = word.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' '..='~')).take(CHARS_MAX).collect();
            return Err(format!("`{shown}` is no tag. Use one word of letters, digits, - and _, like kitchen."));
        }
        match word.chars().count() {
            count if count > CHARS_MAX => Err(format!("The tag has {count} characters; {CHARS_MAX} are possible. Shorten it.")),
            _ => Ok(Tag(word.to_lowercase())),
        }
    }

    /// In the order of the note, each once.
    pub fn all_of(note: &str) -> Vec<Tag> {
        let mut tags: Vec<Tag> = Vec::new();
        for tag in note.split_whitespace().filter_map(Tag::of_word) {
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    /// `#kids,` is one, too; `#` alone and `#1/2` are none.
    fn of_word(word: &str) -> Option<Tag> {
        let word = word.strip_prefix('#')?.trim_end_matches([',', '.', ';', ':', '!', '?']);
        Tag::read(word).ok()
    }

    pub fn is_in(&self, note: &str) -> bool {
        note.split_whitespace().any(|word| Tag::of_word(word).as_ref() == Some(self))
    }

    /// The note with it at its end; `None`: it has it already.
    pub fn added_to(&self, note: &str) -> Option<String> {
        let gap = if note.is_empty() || note.ends_with(char::is_whitespace) { "" } else { " " };
        (!self.is_in(note)).then(|| format!("{note}{gap}{self}"))
    }

    /// The note without it; `None`: it has it not. Other lines stay as they are.
    pub fn taken_from(&self, note: &str) -> Option<String> {
        let without = |line: &str| {
            let words = line.split_whitespace().filter(|word| Tag::of_word(word).as_ref() != Some(self));
            words.collect::<Vec<_>>().join(" ")
        };
        let lines = note.split('\n').map(|line| if self.is_in(line) { without(line) } else { line.to_owned() });
        self.is_in(note).then(|| lines.collect::<Vec<_>>().join("\n").trim_end().to_owned())
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        Tag::read(text).expect("a tag")
    }

    #[test]
    fn a_tag_is_one_word_however_it_is_typed() {
        for text in ["kitchen", "#kitchen", " Kitchen ", "##KITCHEN"] {
            assert_eq!(tag(text).to_string(), "#kitchen", "{text}");
        }
        assert_eq!(tag("Küche_2-a").to_string(), "#küche_2-a");
        let long = "x".repeat(CHARS_MAX + 1);
        for text in ["", "#", "two words", "a\0b", "<b>", "a,b", "\u{202e}gpj", "a\nb", "#a#b", long.as_str()] {
            assert!(Tag::read(text).is_err_and(|why| !why.contains(['\0', '\n', '\u{202e}'])), "{text:?}");
        }
    }

    #[test]
    fn tags_are_read_out_of_a_note() {
        let shown: Vec<String> =
            Tag::all_of("In the study, #Kids #iot.\n#kids no#tag # #1/2 C#").iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["#kids", "#iot"]);
    }

    #[test]
    fn a_tag_comes_and_goes_and_leaves_the_rest_of_the_note() {
        let note = "In  the study\nbehind the door";
        let with = tag("kids").added_to(note).expect("new");
        assert_eq!(with, "In  the study\nbehind the door #kids");
        assert_eq!(tag("KIDS").added_to(&with), None, "once");
        assert_eq!(tag("kids").taken_from(&with).as_deref(), Some(note));
        assert_eq!(tag("kid").taken_from(&with), None);
        assert_eq!(tag("kids").added_to("").as_deref(), Some("#kids"));
        assert_eq!(tag("kids").taken_from("#kids").as_deref(), Some(""));
    }
}
