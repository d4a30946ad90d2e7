//! Devices in the live stream: they come and go without any batch, so somebody has to look.

use std::collections::BTreeMap;
use std::time::Duration;

use barid_core::id::DeviceId;

use super::{Live, LiveItem};
use crate::api::AskConnected;
use crate::reports::Reports;
use crate::shutdown::Shutdown;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// What of a device is shown and changes without a batch: whether it is linked, what it has not sent.
type Seen = BTreeMap<DeviceId, (bool, Option<u64>)>;

/// Publishes every device that came, went, or reported something else, until the relay stops.
pub async fn watch(live: Live, connected: AskConnected, reports: Reports, shutdown: Shutdown) {
    let mut seen = Seen::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.wait() => return,
        }
        let (connected, reports) = (connected.clone(), reports.clone());
        match tokio::task::spawn_blocking(move || look(&connected, &reports)).await {
            Ok(Ok(now)) => {
                live.publish(changed(&seen, &now));
                seen = now;
            }
            Ok(Err(error)) => tracing::warn!(%error, "the devices' reports cannot be read"),
            Err(_) => return,
        }
    }
}

fn look(connected: &AskConnected, reports: &Reports) -> Result<Seen, rusqlite::Error> {
    let mut seen: Seen =
        reports.all()?.into_iter().map(|report| (report.device, (false, report.unsent))).collect();
    for device in connected().into_keys() {
        seen.entry(device).or_default().0 = true;
    }
    Ok(seen)
}

fn changed(before: &Seen, now: &Seen) -> Vec<LiveItem> {
    let devices = now.iter().filter(|(device, state)| before.get(device) != Some(state));
    // A device belongs to organisations, not to one space.
    let item = |device: &DeviceId| LiveItem {
        kind: "device".to_owned(),
        space: String::new(),
        id: device.to_string(),
    };
    devices.map(|(device, _)| item(device)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_that_came_went_or_reported_is_published() {
        let [one, two, three] = [1, 2, 3].map(|byte| DeviceId::from_bytes([byte; 32]));
        let before = Seen::from([(one, (true, Some(3))), (two, (false, None))]);
        let now = Seen::from([(one, (true, Some(3))), (two, (true, None)), (three, (true, Some(1)))]);
        let ids: Vec<_> = changed(&before, &now).into_iter().map(|item| item.id).collect();
        assert_eq!(ids, [two.to_string(), three.to_string()]);
        assert!(changed(&now, &now).is_empty());
    }
}
