//! Encrypted links: the certificate of the enrolment code is trusted, and nothing else.

use barid_core::client::{EnrolError, SyncError};
use harness::phone::{Phone, PhoneFiles, event_fields};
use harness::relay::{ORGANISATION, Relay};

#[test]
fn a_phone_trusts_the_certificate_of_its_code_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::with_tls(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.put_event(event_fields(1));
    phone.sync_once();
    assert_eq!(phone.device.store().counts().unwrap().unsent_records, 0);

    let mut code = relay.code(ORGANISATION, "deceived", relay.port());
    code.certificate_pin.as_mut().expect("the code pins a certificate")[0] ^= 1;
    let device = PhoneFiles::new(folder.path(), "deceived").open();
    let refused = device.enrol(&code, "deceived").unwrap_err();
    assert!(matches!(refused, EnrolError::Link(SyncError::Certificate)), "{refused:?}");
    // No pin, no encrypted link: there is nobody else to ask in the desert.
    code.certificate_pin = None;
    let refused = device.enrol(&code, "deceived").unwrap_err();
    assert!(matches!(refused, EnrolError::Link(SyncError::Certificate)), "{refused:?}");
}
