//! A replicated state machine behind one handle: the broadcast group and the openraft group.
