//! What every process of a cluster does alike: read the cluster file, log, stop when told.
