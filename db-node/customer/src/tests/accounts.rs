//! Accounts: ids, usernames, limits.

use super::*;

fn id(created: Result<Body, Refusal>) -> u64 {
    match created.unwrap() {
        Body::AccountCreated(created) => created.user_id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_count_from_one_for_each_role() {
    let mut subject = Subject::new();
    assert_eq!(id(subject.run(account(Role::Buyer, "a"))), 1);
    assert_eq!(id(subject.run(account(Role::Buyer, "b"))), 2);
    assert_eq!(id(subject.run(account(Role::Seller, "c"))), 1);
}

#[test]
fn a_username_belongs_to_one_account_of_its_role() {
    let mut subject = Subject::new();
    subject.run(account(Role::Buyer, "ada")).unwrap();
    assert_eq!(subject.refused(account(Role::Buyer, "ada")), Code::UsernameTaken);
    subject.run(account(Role::Seller, "ada")).unwrap();
    subject.run(account(Role::Buyer, "Ada")).unwrap();
}

#[test]
fn wrong_fields_are_named() {
    let mut subject = Subject::new();
    let good = CreateAccount {
        role: Role::Seller.into(),
        username: "ada".into(),
        display_name: "Ada".into(),
        password_hash: PASSWORD_HASH.into(),
    };
    let wrong = [
        ("role", CreateAccount { role: 0, ..good.clone() }),
        ("role", CreateAccount { role: 3, ..good.clone() }),
        ("role", CreateAccount { role: -1, ..good.clone() }),
        ("username", CreateAccount { username: String::new(), ..good.clone() }),
        ("username", CreateAccount { username: "ü".repeat(33), ..good.clone() }),
        ("username", CreateAccount { username: "\u{200b} ".into(), ..good.clone() }),
        ("display_name", CreateAccount { display_name: "  ".into(), ..good.clone() }),
        ("username", CreateAccount { username: "a\0".into(), ..good.clone() }),
        ("display_name", CreateAccount { display_name: "x".repeat(60_000), ..good.clone() }),
        ("password_hash", CreateAccount { password_hash: "hunter2".into(), ..good.clone() }),
    ];
    for (field, command) in wrong {
        let refusal = subject.run(Change::CreateAccount(command)).unwrap_err();
        assert_eq!((refusal.code(), refusal.field.as_str()), (Code::InvalidField, field));
    }
    assert!(substance(&subject.db).is_empty());
    let longest = CreateAccount { username: "🦀".repeat(32), display_name: "ü".repeat(32), ..good };
    subject.run(Change::CreateAccount(longest)).unwrap();
}

#[test]
fn accounts_and_credentials_are_found() {
    let mut subject = Subject::new();
    subject.run(account(Role::Seller, "ada")).unwrap();
    let credentials = |role: Role, username: &str| {
        subject.ask(Question::GetCredentials(GetCredentials { role: role.into(), username: username.into() }))
    };
    let found = Credentials { user_id: 1, password_hash: PASSWORD_HASH.into() };
    assert_eq!(credentials(Role::Seller, "ada"), Ok(Body::Credentials(found)));
    assert_eq!(credentials(Role::Buyer, "ada").unwrap_err().code(), Code::BadCredentials);
    assert_eq!(credentials(Role::Unspecified, "ada").unwrap_err().code(), Code::InvalidField);

    let get =
        |role: Role, user_id| subject.ask(Question::GetAccount(GetAccount { role: role.into(), user_id }));
    let Ok(Body::Account(found)) = get(Role::Seller, 1) else { panic!("no account") };
    assert_eq!((found.username.as_str(), found.items_purchased), ("ada", 0));
    assert_eq!(get(Role::Seller, 2).unwrap_err().code(), Code::SellerNotFound);
    assert_eq!(get(Role::Buyer, 1).unwrap_err().code(), Code::InvalidField);
    assert_eq!(get(Role::Seller, u64::MAX).unwrap_err().code(), Code::SellerNotFound);
}
