//! The calls that are timed, by their documented names.

/// A call of a seller or of a buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Function {
    CreateSeller,
    LoginSeller,
    LogoutSeller,
    GetSellerRating,
    AddItem,
    RemoveItem,
    ChangePrice,
    UpdateUnits,
    AllItemsBySeller,
    CreateBuyer,
    LoginBuyer,
    LogoutBuyer,
    DisplayCart,
    AddToCart,
    RemoveCart,
    SaveCart,
    ClearCart,
    SearchItems,
    GetItem,
    GetPurchaseHistory,
    MakePurchase,
    ProvideFeedback,
    GetSellerRatingByBuyer,
}

impl Function {
    pub const ALL: [Function; 23] = [
        Function::CreateSeller,
        Function::LoginSeller,
        Function::LogoutSeller,
        Function::GetSellerRating,
        Function::AddItem,
        Function::RemoveItem,
        Function::ChangePrice,
        Function::UpdateUnits,
        Function::AllItemsBySeller,
        Function::CreateBuyer,
        Function::LoginBuyer,
        Function::LogoutBuyer,
        Function::DisplayCart,
        Function::AddToCart,
        Function::RemoveCart,
        Function::SaveCart,
        Function::ClearCart,
        Function::SearchItems,
        Function::GetItem,
        Function::GetPurchaseHistory,
        Function::MakePurchase,
        Function::ProvideFeedback,
        Function::GetSellerRatingByBuyer,
    ];

    /// Whether the time of it is that of hashing a password, which is slow on purpose.
    pub fn hashes_password(self) -> bool {
        use Function::{CreateBuyer, CreateSeller, LoginBuyer, LoginSeller};
        matches!(self, CreateSeller | LoginSeller | CreateBuyer | LoginBuyer)
    }

    pub fn name(self) -> &'static str {
        match self {
            Function::CreateSeller => "create_seller",
            Function::LoginSeller => "login_seller",
            Function::LogoutSeller => "logout_seller",
            Function::GetSellerRating => "get_seller_rating",
            Function::AddItem => "add_item",
            Function::RemoveItem => "remove_item",
            Function::ChangePrice => "change_price",
            Function::UpdateUnits => "update_units",
            Function::AllItemsBySeller => "all_items_by_seller",
            Function::CreateBuyer => "create_buyer",
            Function::LoginBuyer => "login_buyer",
            Function::LogoutBuyer => "logout_buyer",
            Function::DisplayCart => "display_cart",
            Function::AddToCart => "add_to_cart",
            Function::RemoveCart => "remove_cart",
            Function::SaveCart => "save_cart",
            Function::ClearCart => "clear_cart",
            Function::SearchItems => "search_items",
            Function::GetItem => "get_item",
            Function::GetPurchaseHistory => "get_purchase_history",
            Function::MakePurchase => "make_purchase",
            Function::ProvideFeedback => "provide_feedback",
            Function::GetSellerRatingByBuyer => "get_seller_rating_by_buyer",
        }
    }
}
