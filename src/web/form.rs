//! What was wrong in a form, field by field, for the page that gives it back.

/// In the order of the page, so that the first one is focused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors(Vec<(String, String)>);

impl Errors {
    /// `name`: of the field, as in the form. The first sentence about a field stays.
    pub fn add(&mut self, name: impl Into<String>, sentence: impl Into<String>) {
        let name = name.into();
        if !self.has(&name) {
            self.0.push((name, sentence.into()));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    /// Empty where nothing is wrong.
    pub fn of(&self, name: &str) -> &str {
        self.0.iter().find(|(field, _)| field == name).map_or("", |(_, sentence)| sentence)
    }

    pub fn is_first(&self, name: &str) -> bool {
        self.0.first().is_some_and(|(field, _)| field == name)
    }
}

/// Whether an option of a select is the chosen one; both may be text or number.
pub fn is_same(one: &impl ToString, other: &impl ToString) -> bool {
    one.to_string() == other.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_about_a_field_stays() {
        let mut errors = Errors::default();
        errors.add("mac", "No MAC.");
        errors.add("name", "Too long.");
        errors.add("mac", "Also something else.");
        assert_eq!((errors.of("mac"), errors.of("note")), ("No MAC.", ""));
        assert!(errors.is_first("mac") && !errors.is_first("name") && errors.has("name"));
    }
}
