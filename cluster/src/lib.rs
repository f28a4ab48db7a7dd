//! Launches, watches, steers and measures a whole Agora cluster.
