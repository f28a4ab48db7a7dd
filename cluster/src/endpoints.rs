//! Where the outside finds a cluster.

use agora_process::{ClusterFile, Endpoint};

/// Where clients and tools find the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// URLs of the buyer frontends.
    pub buyer: Vec<String>,
    /// URLs of the seller frontends.
    pub seller: Vec<String>,
    /// Addresses of the customer nodes.
    pub customer_db: Vec<String>,
    /// Addresses of the product nodes.
    pub product_db: Vec<String>,
    /// URL of the financial service.
    pub financial: String,
}

impl Endpoints {
    /// Those of a cluster file.
    pub fn of(file: &ClusterFile) -> Self {
        let urls =
            |endpoints: &[Endpoint]| endpoints.iter().map(|e| format!("http://{}", e.address)).collect();
        let addresses = |endpoints: &[Endpoint]| endpoints.iter().map(|e| e.address.to_string()).collect();
        Endpoints {
            buyer: urls(&file.buyer),
            seller: urls(&file.seller),
            customer_db: addresses(&file.customer),
            product_db: addresses(&file.product),
            financial: format!("http://{}", file.financial.address),
        }
    }
}
