//! TLS 1.3 with bare public keys (RFC 7250): both sides prove their key, and each knows which key it wants to see.
//!
//! There is no certificate: no name, no date and no authority that could be wrong or run out. No session is ever resumed
//! and nothing is sent before the handshake is over, so nothing that was recorded can be played again.

use std::{error::Error as StdError, fmt, io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use super::{identity::Identity, key::PublicKey};

/// Whose key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Before a pairing: any, so long as it is proven.
    Anyone,
    Only(PublicKey),
}

/// Shown by the other: a key that is not the wanted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongKey(pub Option<PublicKey>);

impl fmt::Display for WrongKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "it has the key {}, which is not the twin's", key.fingerprint().prefix()),
            None => f.write_str("it has a key of a kind that no twin has"),
        }
    }
}

impl StdError for WrongKey {}

pub fn server_config(identity: &Identity, expect: Expect) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let keys = Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified(identity)));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("ring speaks TLS 1.3")
        .with_client_cert_verifier(Arc::new(Pin { expect, provider }))
        .with_cert_resolver(keys);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

pub fn client_config(identity: &Identity, expect: Expect) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let keys = Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified(identity)));
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("ring speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin { expect, provider }))
        .with_client_cert_resolver(keys);
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Arc::new(config)
}

/// TLS wants a name; nobody looks at it.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("twin").expect("a valid name")
}

/// The key that the other has proven in this handshake.
pub fn peer_key(certificates: Option<&[CertificateDer<'_>]>) -> Option<PublicKey> {
    PublicKey::from_spki(certificates?.first()?)
}

/// What TLS said, wherever it stands in the chain of causes.
pub fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// The other has seen our key and does not want it.
pub fn refuses_our_key(error: &(dyn StdError + 'static)) -> bool {
    matches!(cause(error), Some(Error::AlertReceived(AlertDescription::AccessDenied)))
}

pub fn wrong_key(error: &(dyn StdError + 'static)) -> Option<WrongKey> {
    match cause(error)? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref().copied(),
        _ => None,
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let secret = PrivatePkcs8KeyDer::from(identity.secret());
    let signing = rustls::crypto::ring::sign::any_eddsa_type(&secret).expect("the identity was read as an Ed25519 key");
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(identity.key.spki())], signing))
}

/// Checks the exact key, and that the other signs with it.
#[derive(Debug)]
struct Pin {
    expect: Expect,
    provider: Arc<CryptoProvider>,
}

impl Pin {
    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), WrongKey> {
        let key = PublicKey::from_spki(spki).ok_or(WrongKey(None))?;
        match self.expect {
            Expect::Anyone => Ok(()),
            Expect::Only(wanted) if wanted == key => Ok(()),
            Expect::Only(_) => Err(WrongKey(Some(key))),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.provider.signature_verification_algorithms)
    }
}

const NO_TLS12: &str = "only TLS 1.3 is spoken here";

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.check(end_entity) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(wrong) => Err(CertificateError::Other(OtherError(Arc::new(wrong))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(NO_TLS12.into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pin {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Of all errors this one becomes the alert `access_denied`, by which the other knows why.
        self.check(end_entity).map_err(|_| CertificateError::ApplicationVerificationFailure)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(NO_TLS12.into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
