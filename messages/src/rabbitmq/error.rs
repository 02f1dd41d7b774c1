//! What went wrong with a connection, in our words.

use lapin::ErrorKind;

use crate::BusError;

/// Why there is no working connection.
#[derive(Debug, Clone)]
pub(super) enum LinkError {
    /// The broker refused our login, vhost, right or topology: a person must act.
    Refused(String),
    /// The connection or channel is gone; another attempt is all that is needed.
    Lost { text: String, source: Option<lapin::Error> },
}

impl LinkError {
    /// An error while connecting, declaring or subscribing.
    pub fn opening(error: lapin::Error) -> Self {
        // 402 vhost unknown, 403 login or right refused, 405 queue locked by another, 406 queue
        // exists with other arguments, 530 vhost not there or not ours.
        Self::classify(error, &[402, 403, 405, 406, 530])
    }

    /// An error of a connection that had worked. 406 is a late acknowledgement here, nothing that
    /// a person must mend.
    pub fn working(error: lapin::Error) -> Self {
        Self::classify(error, &[403])
    }

    pub fn lost(text: impl Into<String>) -> Self {
        Self::Lost { text: text.into(), source: None }
    }

    fn classify(error: lapin::Error, refusals: &[u16]) -> Self {
        if let ErrorKind::ProtocolError(protocol) = error.kind()
            && refusals.contains(&protocol.get_id())
        {
            return Self::Refused(protocol.get_message().to_string());
        }
        Self::Lost { text: error.to_string(), source: Some(error) }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Lost { text, .. } => text,
        }
    }

    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    pub fn to_bus_error(&self) -> BusError {
        match self {
            Self::Refused(text) => BusError::Refused(text.clone()),
            Self::Lost { source: Some(error), .. } => BusError::Unreachable(Some(Box::new(error.clone()))),
            Self::Lost { text, source: None } => BusError::Unreachable(Some(text.clone().into())),
        }
    }
}
