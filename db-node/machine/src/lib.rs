//! What every replicated state machine of Agora is: pure apply, tables that know their changes, remembered answers.
