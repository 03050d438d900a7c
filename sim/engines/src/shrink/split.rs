//! Delta debugging over a list: halves are taken out, then quarters, and so on down to single elements.

/// The smallest list that `fails` still accepts, as far as taking out neighbours goes. `fails` is asked
/// for smaller lists and says whether the run made of one still fails; the list itself is known to.
pub fn smallest<T: Clone>(mut list: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut length = list.len();
    while length > 0 && !list.is_empty() {
        let mut at = 0;
        let mut found = false;
        while at < list.len() {
            let end = (at + length).min(list.len());
            let mut rest = list.clone();
            rest.drain(at..end);
            if fails(&rest) {
                list = rest;
                found = true;
            } else {
                at = end;
            }
        }
        // Single elements are tried again while any goes: what it needed may be gone by now.
        if length > 1 {
            length = length.div_ceil(2);
        } else if !found {
            break;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let list: Vec<u32> = (0..1_000).collect();
        let mut asked = 0;
        let left = smallest(list, |rest| {
            asked += 1;
            [3, 500, 999].iter().all(|needed| rest.contains(needed))
        });
        assert_eq!(left, [3, 500, 999]);
        assert!(asked < 150, "{asked} runs");
    }

    #[test]
    fn what_goes_only_with_another_goes_too() {
        // Whoever has 7 needs 2, which comes first and so cannot go before it.
        let left = smallest((0..10).collect(), |rest: &[u32]| {
            rest.contains(&5) && (!rest.contains(&7) || rest.contains(&2))
        });
        assert_eq!(left, [5]);
    }

    #[test]
    fn nothing_is_left_of_what_is_not_needed() {
        assert!(smallest(vec![1, 2, 3], |_| true).is_empty());
    }
}
