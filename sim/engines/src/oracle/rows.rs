//! A table by dense number that grows without moving what is in it.
//!
//! A run publishes some hundred thousand items. Rows of a list that grows as a whole are copied again and
//! again, each time into memory that the system must clear before; these lie in parts of one size.

/// Rows of a part.
const PART: usize = 256;

/// Rows by number; a number may have none.
#[derive(Clone, Debug)]
pub(super) struct Rows<T> {
    parts: Vec<Vec<Option<T>>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<T> Rows<T> {
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.parts.get(number / PART)?.get(number % PART)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        let part = self.parts.get_mut(number / PART)?;
        part.get_mut(number % PART)?.as_mut()
    }

    /// Where the row of a number is or will be.
    pub(super) fn place(&mut self, number: usize) -> &mut Option<T> {
        let (part, row) = (number / PART, number % PART);
        if self.parts.len() <= part {
            self.parts
                .resize_with(part + 1, || Vec::with_capacity(PART));
        }
        let rows = &mut self.parts[part];
        if rows.len() <= row {
            rows.resize_with(row + 1, || None);
        }
        &mut rows[row]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_under_their_numbers_whatever_was_put_first() {
        let mut rows = Rows::default();
        let numbers = [0, 700, 255, 256, 3, 511];
        for number in numbers {
            assert_eq!(rows.get(number), None);
            *rows.place(number) = Some(number);
        }
        for number in numbers {
            assert_eq!(rows.get(number), Some(&number));
            assert_eq!(rows.get_mut(number), Some(&mut { number }));
        }
        for number in [1, 257, 701, 100_000] {
            assert_eq!(rows.get(number), None);
        }
    }
}
