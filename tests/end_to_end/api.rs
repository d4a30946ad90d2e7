//! What a coordinator's browser is told, and how soon.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::browser::Browser;
use harness::phone::{PATIENCE, Phone, event_fields};
use harness::relay::Relay;
use harness::wait::until;

#[test]
fn what_a_phone_brings_back_is_on_the_page_within_two_seconds_of_its_return() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.sync_once();
    let browser = Browser::login(&relay);
    for number in 0..50 {
        phone.put_event(event_fields(number));
    }
    let begun = Instant::now();
    phone.connect();
    until("the events are on the page", PATIENCE, || (browser.all("/api/events").len() == 50).then_some(()));
    let took = begun.elapsed();
    println!("50 events on the page {took:.2?} after the reconnection");
    assert!(took < Duration::from_secs(2), "{took:?}");

    let devices = browser.get("/api/devices").json();
    let device = &devices["items"][0];
    assert_eq!(device["label"], "phone");
    assert_eq!(device["connected"], true);
    assert!(device["last_seen"].is_string());
    assert_eq!(
        browser.all("/api/events?q=%D8%A7%D9%84%D8%A8%D8%A6%D8%B1").len(),
        25,
        "found with its article"
    );
}

#[test]
fn the_live_stream_tells_of_a_new_event() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.connect();
    phone.wait_synced();
    let browser = Browser::login(&relay);
    let mut stream = TcpStream::connect(("127.0.0.1", relay.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET /api/live HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncookie: {}\r\n\r\n",
        relay.port(),
        browser.cookie()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("200"));
    let id = phone.put_event(event_fields(1)).to_string();
    let told = lines.find(|line| line.starts_with("data:") && line.contains(&id));
    assert!(told.unwrap().contains("\"event\""));
}

#[test]
fn a_relay_asked_to_stop_stops_in_good_order_and_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.connect();
    phone.wait_synced();
    assert!(relay.stop().success());
    phone.put_event(event_fields(1));
    relay.start();
    until("the phone comes back by itself", PATIENCE, || (phone.status().unsent_records == 0).then_some(()));
}
