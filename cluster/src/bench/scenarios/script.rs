//! Which calls a client makes: one account, a few sessions, and in them a mix in which every function occurs often enough
//! to say something about its slowest calls.

use rand::Rng;
use rand::seq::SliceRandom;

use super::function::Function;

/// One session in so many calls, and at least two in all.
const CALLS_PER_SESSION: usize = 100;
const SESSIONS_MIN: usize = 2;

/// What one kind of client does.
pub(crate) struct Habits {
    pub create: Function,
    pub login: Function,
    pub logout: Function,
    /// What it does in its sessions, and how often in relation to the others.
    pub mix: &'static [(Function, usize)],
}

pub(crate) const SELLER: Habits = Habits {
    create: Function::CreateSeller,
    login: Function::LoginSeller,
    logout: Function::LogoutSeller,
    mix: &[
        (Function::AddItem, 30),
        (Function::ChangePrice, 20),
        (Function::AllItemsBySeller, 15),
        (Function::GetSellerRating, 15),
        (Function::UpdateUnits, 10),
        (Function::RemoveItem, 10),
    ],
};

pub(crate) const BUYER: Habits = Habits {
    create: Function::CreateBuyer,
    login: Function::LoginBuyer,
    logout: Function::LogoutBuyer,
    mix: &[
        (Function::SearchItems, 24),
        (Function::AddToCart, 18),
        (Function::DisplayCart, 12),
        (Function::GetItem, 10),
        (Function::GetSellerRatingByBuyer, 8),
        (Function::MakePurchase, 7),
        (Function::RemoveCart, 6),
        (Function::GetPurchaseHistory, 5),
        (Function::ProvideFeedback, 4),
        (Function::SaveCart, 3),
        (Function::ClearCart, 3),
    ],
};

/// The calls of one client, exactly so many (or a few more, if that is too few for one of each).
pub(crate) fn script(habits: &Habits, calls: usize, random: &mut impl Rng) -> Vec<Function> {
    let sessions = (calls / CALLS_PER_SESSION).max(SESSIONS_MIN);
    let inside = calls.saturating_sub(1 + 2 * sessions);
    let mut mixed = mix(habits, inside);
    mixed.shuffle(random);
    let per_session = mixed.len().div_ceil(sessions).max(1);
    let mut script = vec![habits.create];
    for session in mixed.chunks(per_session) {
        script.push(habits.login);
        script.extend_from_slice(session);
        script.push(habits.logout);
    }
    script
}

/// So many calls in the proportions of the mix, at least one of each.
fn mix(habits: &Habits, calls: usize) -> Vec<Function> {
    let whole: usize = habits.mix.iter().map(|(_, weight)| weight).sum();
    let share = |weight: usize| (calls * weight / whole.max(1)).max(1);
    let mut mixed: Vec<Function> = habits
        .mix
        .iter()
        .flat_map(|(function, weight)| std::iter::repeat_n(*function, share(*weight)))
        .collect();
    // What rounding left over goes to the most frequent ones, in turn.
    let missing = calls.saturating_sub(mixed.len());
    mixed.extend(habits.mix.iter().map(|(function, _)| *function).cycle().take(missing));
    mixed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn counts(script: &[Function]) -> BTreeMap<Function, usize> {
        script.iter().fold(BTreeMap::new(), |mut counts, function| {
            *counts.entry(*function).or_default() += 1;
            counts
        })
    }

    #[test]
    fn a_script_has_as_many_calls_as_asked_for_and_every_function() {
        for habits in [&SELLER, &BUYER] {
            for calls in [40, 100, 1000, 1234] {
                let script = script(habits, calls, &mut StdRng::seed_from_u64(1));
                let counts = counts(&script);
                assert_eq!(script.len(), calls);
                assert_eq!(counts.len(), habits.mix.len() + 3, "{counts:?}");
                assert_eq!(counts[&habits.create], 1);
                assert_eq!(counts[&habits.login], counts[&habits.logout]);
                assert!(counts[&habits.login] >= SESSIONS_MIN);
            }
        }
    }

    #[test]
    fn a_client_works_only_while_it_is_logged_in() {
        let script = script(&BUYER, 250, &mut StdRng::seed_from_u64(2));
        let mut logged_in = false;
        for function in script {
            match function {
                Function::LoginBuyer => logged_in = true,
                Function::LogoutBuyer => logged_in = false,
                Function::CreateBuyer => assert!(!logged_in),
                other => assert!(logged_in, "{other:?}"),
            }
        }
        assert!(!logged_in);
    }

    #[test]
    fn very_few_calls_still_make_one_of_each() {
        let script = script(&SELLER, 1, &mut StdRng::seed_from_u64(3));
        assert_eq!(counts(&script).len(), SELLER.mix.len() + 3);
    }
}
