//! A phone: the real core with a database of its own, behind a link that can fail.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use barid_core::client::{Client, Phase, SyncStatus};
use barid_core::clock::system_clock;
use barid_core::device::{Device, DeviceConfig};
use barid_core::exchange::Cancel;
use barid_core::id::{RecordId, SpaceId};
use barid_core::model::{Fields, Kinds, Value, event};
use barid_core::protocol::PeerReport;
use barid_core::store::{OpenError, Query, Record};

use crate::link::Link;
use crate::relay::{ORGANISATION, Relay};
use crate::wait::until;

/// How long a phone may take to be in sync in a test.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A phone, enrolled with a relay.
#[derive(Debug)]
pub struct Phone {
    pub device: Device,
    pub space: SpaceId,
    pub link: Link,
    client: Option<Client>,
}

/// Where a phone's database and its secret are.
#[derive(Debug, Clone)]
pub struct PhoneFiles {
    pub database: PathBuf,
    pub seed: [u8; 32],
}

impl PhoneFiles {
    /// Files for a phone of this name; the seed is made from the name.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut seed = [7; 32];
        for (place, byte) in seed.iter_mut().zip(name.bytes()) {
            *place = byte;
        }
        Self { database: folder.join(format!("{name}.db")), seed }
    }

    /// Opens the database.
    pub fn open(&self) -> Device {
        self.try_open().unwrap()
    }

    /// Opens the database, which may not open.
    pub fn try_open(&self) -> Result<Device, OpenError> {
        let path = Some(self.database.clone());
        let kinds = Kinds::built_in();
        Device::open(DeviceConfig { path, seed: self.seed.into(), kinds, clock: system_clock(), key: None })
    }
}

impl Phone {
    /// A new phone of the relay's first organisation, enrolled and offline.
    pub fn enrol(relay: &Relay, folder: &Path, name: &str) -> Self {
        Self::enrol_with(relay, folder, name, ORGANISATION)
    }

    /// A new phone of an organisation, enrolled and offline.
    pub fn enrol_with(relay: &Relay, folder: &Path, name: &str, organisation: &str) -> Self {
        let device = PhoneFiles::new(folder, name).open();
        let link = Link::to(relay.port()).unwrap();
        let code = relay.code(organisation, name, link.port());
        let space = device.enrol(&code, name).unwrap().spaces[0];
        Self { device, space, link, client: None }
    }

    /// A phone that was enrolled before, opened again and offline.
    pub fn again(relay: &Relay, files: &PhoneFiles) -> Self {
        let device = files.open();
        let link = Link::to(relay.port()).unwrap();
        device.move_relay(&format!("ws://127.0.0.1:{}", link.port())).unwrap();
        let space = device.enrolment().unwrap().unwrap().spaces[0];
        Self { device, space, link, client: None }
    }

    /// Comes into range.
    pub fn connect(&mut self) {
        self.link.restore();
        match &self.client {
            Some(client) => client.resume(),
            None => self.client = Some(self.device.sync().unwrap()),
        }
    }

    /// Sees that it is in range, and need not wait for its next try.
    pub fn request(&self) {
        if let Some(client) = &self.client {
            client.request();
        }
    }

    /// Leaves the range.
    pub fn disconnect(&mut self) {
        self.link.cut();
        self.client = None;
    }

    /// The sync's status.
    pub fn status(&self) -> SyncStatus {
        self.client.as_ref().map(|client| client.status().borrow().clone()).unwrap_or_default()
    }

    /// Waits until everything known here and at the relay is exchanged and acknowledged.
    pub fn wait_synced(&self) {
        self.wait_synced_within(PATIENCE);
    }

    /// The same, as long as much may take.
    pub fn wait_synced_within(&self, patience: Duration) {
        until("the phone is in sync", patience, || {
            let status = self.status();
            (status.phase == Phase::UpToDate && status.unsent_records == 0).then_some(())
        });
    }

    /// Comes into range, syncs, leaves.
    pub fn sync_once(&mut self) {
        self.connect();
        self.wait_synced();
        self.disconnect();
    }

    /// Records an event.
    pub fn put_event(&self, fields: Fields) -> RecordId {
        let space = self.space;
        self.device.store().write(|group| group.put(space, event::NAME, None, fields)).unwrap()
    }

    /// Edits an event.
    pub fn patch_event<const N: usize>(&self, id: RecordId, values: [(&str, Value); N]) {
        let space = self.space;
        let values: BTreeMap<_, _> = values.map(|(name, value)| (name.to_owned(), Some(value))).into();
        self.device.store().write(|group| group.patch(space, event::NAME, id, values)).unwrap();
    }

    /// An event as it stands here.
    pub fn event(&self, id: RecordId) -> Option<Record> {
        self.device.store().get(self.space, event::NAME, id).unwrap()
    }

    /// Every event here.
    pub fn events(&self) -> Vec<Record> {
        let mut all = Vec::new();
        let mut query = Query {
            space: Some(self.space),
            kind: Some(event::NAME.to_owned()),
            limit: 1000,
            ..Query::default()
        };
        loop {
            let page = self.device.store().query(&query).unwrap();
            all.extend(page.records);
            match page.next {
                Some(next) => query.after = Some(next),
                None => return all,
            }
        }
    }

    /// Says the same on every replica that holds the same.
    pub fn digest(&self) -> [u8; 32] {
        self.device.store().digest(self.space).unwrap()
    }
}

/// Two phones meet: the first shows its code, the second reads it.
pub fn meet(one: &Phone, two: &Phone) -> (PeerReport, PeerReport) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let halves = |stream: TcpStream| (stream.try_clone().unwrap(), stream);
    let invitation = one.device.invite();
    let code = invitation.code().to_string();
    std::thread::scope(|scope| {
        let inviting = scope.spawn(|| {
            let (stream, _) = listener.accept().unwrap();
            one.device.exchange(&invitation, halves(stream), &Cancel::new(), |_| {}).unwrap()
        });
        let stream = TcpStream::connect(address).unwrap();
        let joined = two.device.exchange_with(&code.parse().unwrap(), halves(stream), &Cancel::new(), |_| {});
        (inviting.join().unwrap(), joined.unwrap())
    })
}

/// The fields of the `number`th event of a test, in two languages by turns.
pub fn event_fields(number: usize) -> Fields {
    let arabic = number.is_multiple_of(2);
    let title = if arabic { format!("بلاغ رقم {number}") } else { format!("Report number {number}") };
    let note = if arabic {
        "سيارة متوقفة قرب البئر، والركاب بخير ويحتاجون إلى الماء"
    } else {
        "Vehicle halted near the well, everybody is fine and in need of water"
    };
    Fields::from([
        ("time".to_owned(), Value::Int(1_790_000_000_000 + number as i64 * 1000)),
        ("lat".to_owned(), Value::Float(24.0 + (number % 1000) as f64 / 1000.0)),
        ("lon".to_owned(), Value::Float(10.0 + (number % 777) as f64 / 1000.0)),
        ("accuracy_m".to_owned(), Value::Float(5.0)),
        ("how".to_owned(), "gps".into()),
        ("reported_by".to_owned(), "unit".into()),
        ("event_type".to_owned(), "stranded_vehicle".into()),
        ("category".to_owned(), "rescue".into()),
        ("layer".to_owned(), "crisis_rescue".into()),
        ("priority".to_owned(), Value::Int((number % 4) as i64 * 100)),
        ("title".to_owned(), title.into()),
        ("note".to_owned(), note.into()),
        ("review_state".to_owned(), "submitted".into()),
        ("operational_state".to_owned(), "new".into()),
        ("persons_total".to_owned(), Value::Int((number % 12) as i64)),
    ])
}
