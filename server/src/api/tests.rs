//! The API on a real data directory, filled through the real log and materialised.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use barid_core::id::{AttachmentHash, DeviceId, RecordId};
use barid_core::model::Value;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

use crate::app::{App, router};
use crate::blob::{BlobId, PartId};
use crate::config::Config;
use crate::fixture::{NOON, Phone, World, event, fields};
use crate::live::LiveItem;
use crate::serve::Server;

/// A relay with two phones' work in its views.
struct Filled {
    world: World,
    one: Phone,
    two: Phone,
    patrol: RecordId,
    /// An event that both phones edited while apart.
    contested: RecordId,
    app: App,
    routes: Router,
    cookie: String,
}

async fn filled() -> Filled {
    let mut world = World::new();
    let (one, two) = (world.phone(0, "Ghat 1"), world.phone(1, "Clinic 2"));
    let patrol = one.put(
        "patrol",
        fields([
            ("serial", "P-17".into()),
            ("title", "دورية غات".into()),
            ("state", "active".into()),
            ("scheduled_start", NOON.into()),
            ("transport", "vehicle".into()),
        ]),
    );
    one.track(patrol, &[0, 60, 120], &[]);
    one.track(patrol, &[600, 660], &[(120, 600)]);
    let mut distress = event("people_in_distress", "عائلة قرب البئر", 1);
    distress.extend(fields([
        ("patrol", patrol.to_string().into()),
        ("persons_total", 7.into()),
        ("persons_girls", 2.into()),
        ("needs_water", 7.into()),
        ("note", "أطفال بلا ماء".into()),
        ("priority", 300.into()),
        ("x_own_field", "kept".into()),
    ]));
    let contested = one.put("event", distress);
    one.put(
        "alert",
        fields([
            ("time", (NOON + 5 * 60_000).into()),
            ("lat", 25.0.into()),
            ("lon", 10.5.into()),
            ("alert_type", "sos".into()),
            ("state", "raised".into()),
            ("patrol", patrol.to_string().into()),
        ]),
    );
    let withdrawn = one.put("event", event("other", "a mistake", 2));
    one.withdraw("event", withdrawn);
    world.take(&one);
    world.give(&two);
    for minute in 10..30 {
        two.put("event", event("water_point_status", "well of Tummo", minute));
    }
    one.patch("event", contested, "title", "عائلة قرب بئر غات");
    two.patch("event", contested, "title", "عائلة في خطر");
    two.patch("event", contested, "review_state", "verified");
    world.take(&one);
    world.take(&two);
    world.materialise();

    let mut config = Config::defaults(world.root());
    config.listen = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(config, false).await.unwrap();
    let app = server.app().clone();
    let token = app.accounts.make_login_token("amal").unwrap();
    let session = app.accounts.login_once(&token).unwrap().unwrap();
    let cookie = format!("barid_session={}", session.reveal());
    let routes = router(app.clone());
    Filled { world, one, two, patrol, contested, app, routes, cookie }
}

impl Filled {
    async fn ask(&self, path: &str) -> (StatusCode, String, Json) {
        let request =
            Request::get(path).header(header::HOST, "localhost").header(header::COOKIE, &self.cookie);
        let response = self.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let form = response.headers().get(header::CONTENT_TYPE).map(|form| form.to_str().unwrap().to_owned());
        let status = response.status();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, form.unwrap_or_default(), serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Json {
        let (status, form, body) = self.ask(path).await;
        assert_eq!((status, form.as_str()), (StatusCode::OK, "application/json"), "{path}: {body}");
        body
    }

    /// The titles, or types, of the events that a query finds.
    async fn titles(&self, query: &str) -> Vec<String> {
        let body = self.get(&format!("/api/events?{query}")).await;
        let items = body["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["title"].as_str().or(item["type"].as_str()).unwrap().to_owned())
            .collect()
    }

    fn space(&self) -> String {
        self.world.joint.to_string()
    }
}

#[tokio::test]
async fn the_feed_shows_events_and_alerts_with_everything_known() {
    let filled = filled().await;
    let body = filled.get("/api/events?limit=500").await;
    let items = body["items"].as_array().unwrap();
    assert_eq!(items.len(), 22, "twenty wells, the family, the SOS; not what was withdrawn");
    assert_eq!(body["next"], Json::Null);
    let times: Vec<_> = items.iter().map(|item| item["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "the newest first: {times:?}");

    let family = items.iter().find(|item| item["id"] == filled.contested.to_string()).unwrap();
    assert_eq!(family["kind"], "event");
    assert_eq!(family["type"], "people_in_distress");
    assert_eq!(family["organisation"]["name_ar"], "حرس الحدود");
    assert_eq!(family["time"], "2026-11-24T20:01:00.000Z");
    assert_eq!(family["place"]["how"], "gps");
    assert_eq!(
        family["persons"],
        json!({"total": 7, "women": null, "men": null, "girls": 2, "boys": null, "unknown": null})
    );
    assert_eq!(family["needs"]["water"], 7);
    assert_eq!(family["patrol"], filled.patrol.to_string());
    assert_eq!(family["conflicts"], 1);
    assert_eq!(family["review_state"], "verified");
    assert_eq!(family["created"]["device"], filled.one.device.to_string());
    assert_eq!(family["created"]["device_label"], "Ghat 1");
    assert_eq!(family["received_at"], "2026-11-24T20:00:00.000Z", "when the log's clock said");
    assert_eq!(family["fields"]["x_own_field"], "kept");

    let sos = items.iter().find(|item| item["kind"] == "alert").unwrap();
    assert_eq!(
        (&sos["type"], &sos["operational_state"], &sos["priority"]),
        (&json!("sos"), &json!("raised"), &json!(300))
    );
    assert_eq!(sos["title"], Json::Null);
}

#[tokio::test]
async fn every_filter_finds_what_it_names_and_nothing_else() {
    let filled = filled().await;
    let (space, patrol) = (filled.space(), filled.patrol);
    let [first, second] = filled.world.organisations;
    let counts = [
        ("".to_owned(), 22),
        (format!("space={space}"), 22),
        (format!("space={}", "ab".repeat(32)), 0),
        ("kind=any".to_owned(), 22),
        ("kind=event".to_owned(), 21),
        ("kind=alert".to_owned(), 1),
        ("type=sos".to_owned(), 1),
        ("type=water_point_status".to_owned(), 20),
        ("state=raised".to_owned(), 1),
        ("state=new".to_owned(), 21),
        ("review=verified".to_owned(), 1),
        (format!("organisation={first}"), 2),
        (format!("organisation={second}"), 20),
        (format!("patrol={patrol}"), 2),
        ("priority_min=200".to_owned(), 2),
        ("from=2026-11-24T20:10:00Z&to=2026-11-24T20:12:00Z".to_owned(), 2),
        ("bbox=24.905,10,24.915,11".to_owned(), 1),
        ("bbox=-10,0,-5,5".to_owned(), 0),
        ("conflicts=true".to_owned(), 1),
        ("withdrawn=true".to_owned(), 23),
        ("kind=event&priority_min=200&conflicts=true&q=".to_owned(), 1),
    ];
    for (query, expected) in counts {
        let found = filled.titles(&format!("{query}&limit=500")).await;
        assert_eq!(found.len(), expected, "{query}: {found:?}");
    }
}

#[tokio::test]
async fn arabic_words_are_found_with_and_without_article_and_hamza() {
    let filled = filled().await;
    for words in ["عائلة", "العائلة", "عايله", "أطفال", "اطفال", "الأطفال", "ماء", "الماء"]
    {
        let encoded: String = words.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = filled.get(&format!("/api/events?q={encoded}")).await;
        assert_eq!(found["items"][0]["id"], filled.contested.to_string(), "{words}");
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{words}");
    }
    assert_eq!(filled.titles("q=tummo&limit=500").await.len(), 20);
    assert!(filled.titles("q=camel").await.is_empty());
}

#[tokio::test]
async fn paging_covers_each_row_once_whatever_is_filtered() {
    let filled = filled().await;
    for query in ["", "kind=event", "type=water_point_status", "withdrawn=true&priority_min=100"] {
        let all: Vec<Json> =
            filled.get(&format!("/api/events?{query}&limit=500")).await["items"].as_array().unwrap().clone();
        for limit in [1, 7, all.len()] {
            let (mut paged, mut after) = (Vec::new(), String::new());
            loop {
                let page = filled.get(&format!("/api/events?{query}&limit={limit}&after={after}")).await;
                let items = page["items"].as_array().unwrap();
                assert!(items.len() <= limit);
                paged.extend(items.iter().cloned());
                match page["next"].as_str() {
                    Some(next) => after = next.to_owned(),
                    None => break,
                }
            }
            assert_eq!(paged, all, "{query} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_conflict_shows_both_values_and_whose_they_are() {
    let filled = filled().await;
    let (space, id) = (filled.space(), filled.contested);
    let body = filled.get(&format!("/api/events/{space}/event/{id}")).await;
    let conflicts = body["conflict_fields"].as_array().unwrap();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0]["field"], "title");
    let values = conflicts[0]["values"].as_array().unwrap();
    assert_eq!((&values[0]["current"], &values[1]["current"]), (&json!(true), &json!(false)));
    assert_eq!(values[0]["value"], body["title"]);
    let by_device: BTreeMap<_, _> = values
        .iter()
        .map(|value| (value["device_label"].as_str().unwrap(), value["value"].as_str().unwrap()))
        .collect();
    assert_eq!(by_device, BTreeMap::from([("Ghat 1", "عائلة قرب بئر غات"), ("Clinic 2", "عائلة في خطر")]));
    let organisations: BTreeSet<_> =
        values.iter().map(|value| value["organisation"]["name_en"].as_str().unwrap()).collect();
    assert_eq!(organisations, BTreeSet::from(["Border guard", "Red Crescent"]));
}

#[tokio::test]
async fn a_history_tells_every_change_the_oldest_first() {
    let filled = filled().await;
    let (space, id) = (filled.space(), filled.contested);
    let body = filled.get(&format!("/api/events/{space}/event/{id}/history")).await;
    let items = body["items"].as_array().unwrap();
    assert_eq!(items.len(), 4, "made, edited by one, twice by two");
    assert_eq!(items[0]["kind"], "created");
    assert_eq!(items[0]["received_at"], "2026-11-24T20:00:00.000Z");
    assert!(items[0]["sets"].as_array().unwrap().contains(&json!({"field": "persons_total", "value": 7})));
    assert!(items[1..].iter().all(|item| item["kind"] == "edited"));
    let devices: BTreeSet<_> = items.iter().map(|item| item["device"].as_str().unwrap().to_owned()).collect();
    assert_eq!(devices, BTreeSet::from([filled.one.device.to_string(), filled.two.device.to_string()]));

    let withdrawn = filled.get("/api/events?withdrawn=true&type=other").await;
    let id = withdrawn["items"][0]["id"].as_str().unwrap();
    assert_eq!(withdrawn["items"][0]["withdrawn"], true);
    let body = filled.get(&format!("/api/events/{space}/event/{id}/history")).await;
    assert_eq!(body["items"][1]["kind"], "withdrawn");
}

#[tokio::test]
async fn patrols_come_with_their_track_cut_at_its_gaps() {
    let filled = filled().await;
    let (space, patrol) = (filled.space(), filled.patrol);
    let body = filled.get("/api/patrols?state=active").await;
    assert_eq!(body["items"].as_array().unwrap().len(), 1);
    let item = &body["items"][0];
    assert_eq!(item["serial"], "P-17");
    assert_eq!((&item["positions"], &item["events"]), (&json!(5), &json!(2)));
    assert_eq!(item["last_position"]["at"], "2026-11-24T20:11:00.000Z");
    assert_eq!(item["scheduled_start"], "2026-11-24T20:00:00.000Z");
    assert_eq!(&filled.get(&format!("/api/patrols/{space}/{patrol}")).await, item);
    assert!(filled.get("/api/patrols?state=done").await["items"].as_array().unwrap().is_empty());

    let (status, form, track) = filled.ask(&format!("/api/patrols/{space}/{patrol}/track")).await;
    assert_eq!((status, form.as_str()), (StatusCode::OK, "application/geo+json"));
    let features = track["features"].as_array().unwrap();
    let gaps: Vec<_> =
        features.iter().map(|feature| feature["properties"]["gap"].as_bool().unwrap()).collect();
    assert_eq!(gaps, [false, true, false]);
    assert_eq!(features[1]["properties"]["reason"], "no_fix");
    assert_eq!(features[0]["geometry"]["type"], "LineString");
    for feature in features {
        let positions = feature["geometry"]["coordinates"].as_array().unwrap().len();
        assert_eq!(feature["properties"]["times"].as_array().unwrap().len(), positions);
    }
    assert_eq!(features[0]["geometry"]["coordinates"][0], json!([10.1, 24.9]));
}

#[tokio::test]
async fn devices_and_positions_are_shown_with_what_is_known_of_them() {
    let filled = filled().await;
    filled.app.reports.seen(filled.one.device, Some(4)).unwrap();
    filled.app.reports.reached(filled.one.device, filled.world.joint, 1).unwrap();
    let body = filled.get("/api/devices").await;
    let items = body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let one = items.iter().find(|item| item["label"] == "Ghat 1").unwrap();
    let two = items.iter().find(|item| item["label"] == "Clinic 2").unwrap();
    let head = filled.world.log.state().spaces[&filled.world.joint].head;
    assert_eq!((&one["unsent_reported"], &one["behind"]), (&json!(4), &json!(head - 1)));
    assert_eq!((&two["unsent_reported"], &two["last_seen"]), (&Json::Null, &Json::Null));
    assert_eq!((&one["state"], &one["connected"]), (&json!("active"), &json!(false)));
    assert_eq!(one["enrolled_at"], "2026-11-24T20:00:00.000Z");
    assert_eq!(one["last_received_at"], "2026-11-24T20:00:00.000Z");

    let positions = filled.get("/api/positions").await;
    assert_eq!(positions["items"].as_array().unwrap().len(), 1);
    assert_eq!(positions["items"][0]["device_label"], "Ghat 1");
    assert_eq!(positions["items"][0]["patrol"], filled.patrol.to_string());
    assert_eq!(positions["items"][0]["at"], "2026-11-24T20:11:00.000Z");
    let other = format!("/api/positions?space={}", "ab".repeat(32));
    assert!(filled.get(&other).await["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn spaces_organisations_numbers_and_the_session_are_told() {
    let filled = filled().await;
    let spaces = filled.get("/api/spaces").await;
    let joint = spaces["items"].as_array().unwrap().iter().find(|space| space["kind"] == "joint").unwrap();
    assert_eq!((&joint["id"], &joint["name_en"]), (&json!(filled.space()), &json!("Joint centre")));
    let organisations = filled.get("/api/organisations").await;
    let colours: Vec<_> = organisations["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["colour_index"].as_u64().unwrap())
        .collect();
    assert_eq!(colours, [0, 1]);

    let stats = filled.get("/api/stats").await;
    assert_eq!(
        (&stats["events"], &stats["alerts_open"], &stats["patrols_active"]),
        (&json!(21), &json!(1), &json!(1))
    );
    assert_eq!(
        (&stats["devices"], &stats["devices_connected"], &stats["conflicts"]),
        (&json!(2), &json!(0), &json!(1))
    );
    assert_eq!(stats["log_head"], stats["materialised_head"]);
    assert_eq!(stats["set_aside"], 0);

    let session = filled.get("/api/session").await;
    assert_eq!(session["account"], json!({"name": "amal", "role": "administrator"}));
    assert_eq!(session["relay"]["name_ar"], "المركز المشترك");
    assert_eq!(session["relay"]["demo"], false);
}

#[tokio::test]
async fn what_cannot_be_answered_is_a_typed_problem() {
    let filled = filled().await;
    let (space, none) = (filled.space(), RecordId::from_bytes([9; 16]));
    let bad = [
        "limit=0",
        "limit=501",
        "limit=x",
        "after=abc",
        "from=now",
        "to=1",
        "bbox=1,2",
        "kind=patrol",
        "patrol=x",
        "space=x",
        "organisation=1",
        "priority_min=high",
        "conflicts=1",
        "withdrawn=yes",
        "type=A%20B",
        "typ=sos",
        "limit=1&limit=2",
    ];
    let mut cases: Vec<(String, StatusCode, &str)> = bad
        .iter()
        .map(|query| (format!("/api/events?{query}"), StatusCode::BAD_REQUEST, "bad_query"))
        .collect();
    for path in [
        "/api/patrols?state=A%20B",
        "/api/patrols?colour=red",
        "/api/positions?space=1",
        "/api/events/x/event/y",
    ] {
        cases.push((path.to_owned(), StatusCode::BAD_REQUEST, "bad_query"));
    }
    for path in [
        format!("/api/events/{space}/event/{none}"),
        format!("/api/events/{space}/alert/{}", filled.contested),
        format!("/api/events/{space}/patrol/{}", filled.patrol),
        format!("/api/events/{space}/event/{none}/history"),
        format!("/api/patrols/{space}/{none}"),
        format!("/api/patrols/{space}/{none}/track"),
        "/api/nothing".to_owned(),
    ] {
        cases.push((path, StatusCode::NOT_FOUND, "not_found"));
    }
    for (path, expected, code) in cases {
        let (status, form, body) = filled.ask(&path).await;
        assert_eq!((status, form.as_str()), (expected, "application/problem+json"), "{path}: {body}");
        assert_eq!((&body["code"], &body["status"]), (&json!(code), &json!(expected.as_u16())), "{path}");
        assert_eq!(body["type"], format!("urn:barid:problem:{code}"));
    }
}

#[tokio::test]
async fn before_the_first_views_the_api_says_so() {
    let filled = filled().await;
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", filled.world.data.views_db().display()));
    }
    let (status, _, body) = filled.ask("/api/events").await;
    assert_eq!((status, &body["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("not_ready")));
    assert_eq!(filled.get("/api/session").await["relay"]["name_en"], "Barid");
    filled.world.materialise();
    assert_eq!(filled.titles("kind=alert").await.len(), 1, "the new file is read");
}

#[tokio::test]
async fn every_described_route_needs_a_login() {
    let filled = filled().await;
    let description = filled.get("/api/openapi.json").await;
    let mut asked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            if path == "/api/login" {
                continue;
            }
            let path = path
                .replace("{space}", &filled.space())
                .replace("{kind}", "event")
                .replace("{id}", &filled.contested.to_string());
            let request = Request::builder()
                .method(method.to_uppercase().as_str())
                .uri(&path)
                .header(header::HOST, "localhost")
                .header(header::ORIGIN, "http://localhost");
            let response = filled.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
            let body: Json =
                serde_json::from_slice(&to_bytes(response.into_body(), 10_000).await.unwrap()).unwrap();
            assert_eq!(body["code"], "login_required");
            asked += 1;
        }
    }
    assert!(asked >= 14, "{asked} routes");
}

#[tokio::test]
async fn the_live_stream_tells_what_changed_and_goes_on_where_a_reader_was() {
    let filled = filled().await;
    let item = |id: &str| LiveItem { kind: "event".into(), space: "ab".into(), id: id.into() };
    let open = async |last: Option<&str>| {
        let mut request = Request::get("/api/live")
            .header(header::HOST, "localhost")
            .header(header::COOKIE, &filled.cookie);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = filled.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        response.into_body().into_data_stream()
    };
    let first = open(None).await;
    filled.app.live.publish(vec![item("1")]);
    let text = read_events(first, 2).await;
    assert!(text.contains("event: ping\n"), "{text}");
    assert!(text.contains(r#"data: {"items":[{"kind":"event","space":"ab","id":"1"}]}"#), "{text}");
    let last = text.lines().filter_map(|line| line.strip_prefix("id: ")).next_back().unwrap().to_owned();

    filled.app.live.publish(vec![item("2")]);
    let text = read_events(open(Some(&last)).await, 2).await;
    assert!(text.contains(r#""id":"2""#) && !text.contains(r#""id":"1""#), "{text}");

    let text = read_events(open(Some("5")).await, 1).await;
    assert!(text.contains("event: reset\n"), "{text}");
    let (status, ..) = {
        let request = Request::get("/api/live")
            .header(header::HOST, "localhost")
            .header(header::COOKIE, &filled.cookie)
            .header("last-event-id", "five");
        let response = filled.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (response.status(), ())
    };
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let open = open(None).await;
    filled.app.live.close();
    let text = read_events(open, usize::MAX).await;
    assert_eq!(text.matches("event:").count(), 1, "it ends: {text}");
}

/// The text of so many events, or of all until the stream ends.
async fn read_events(mut stream: axum::body::BodyDataStream, count: usize) -> String {
    use futures_util::StreamExt as _;
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        let Some(chunk) = stream.next().await else { break };
        text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
    }
    text
}

#[test]
fn the_description_holds_together() {
    let description = serde_json::to_value(super::openapi::describe()).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut references = Vec::new();
    collect_references(&description, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(description.pointer(pointer).is_some(), "{reference} resolves to nothing");
    }
    let mut operation_ids = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operation_ids.insert(id.to_owned()), "{id} twice");
            let described: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let in_path: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(described, in_path, "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200") || responses.contains_key("204"), "{method} {path}");
            for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
                let schema = &response["content"]["application/problem+json"]["schema"];
                assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }
}

fn collect_references(value: &Json, references: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Json::as_str) {
                references.push(reference.to_owned());
            }
            fields.values().for_each(|value| collect_references(value, references));
        }
        Json::Array(items) => items.iter().for_each(|item| collect_references(item, references)),
        _ => {}
    }
}

/// A JPEG's first bytes and something behind them.
fn picture(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|place| place as u8).collect();
    bytes[..4].copy_from_slice(b"\xff\xd8\xff\xe0");
    bytes
}

async fn hold(filled: &Filled, bytes: &[u8]) -> String {
    let hash = AttachmentHash::from_bytes(*blake3::hash(bytes).as_bytes());
    let blob = BlobId { space: filled.world.joint, hash };
    let part = PartId { blob, device: DeviceId::from_bytes([9; 32]) };
    let held = filled.app.attachments.piece(part, bytes.len() as u64, 0, bytes.to_vec()).await.unwrap();
    assert!(held.is_whole);
    hash.to_string()
}

#[tokio::test]
async fn an_event_lists_its_photos_and_says_which_are_not_here_yet() {
    let mut filled = filled().await;
    let (photo, thumbnail) = (picture(70_000), picture(3_000));
    let missing = blake3::hash(b"on a phone").to_hex().to_string();
    let about = |thumbnail: &[u8]| {
        Value::Map(fields([
            ("type", "image/jpeg".into()),
            ("len", 70_000.into()),
            ("thumbnail", Value::Bytes(blake3::hash(thumbnail).as_bytes().to_vec())),
            ("thumbnail_len", 3_000.into()),
        ]))
    };
    let mut event = event("fire", "with photos", 40);
    event.insert(format!("attachment/{}", blake3::hash(&photo).to_hex()), about(&thumbnail));
    event.insert(format!("attachment/{missing}"), about(&thumbnail));
    let id = filled.one.put("event", event);
    filled.world.take(&filled.one);
    filled.world.materialise();
    hold(&filled, &thumbnail).await;
    let path = format!("/api/events/{}/event/{id}", filled.space());
    let shown = filled.get(&path).await["attachments"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    for shown in shown.as_array().unwrap() {
        assert_eq!((&shown["held"], &shown["thumbnail"]["held"]), (&json!(false), &json!(true)));
        assert_eq!((&shown["type"], &shown["len"]), (&json!("image/jpeg"), &json!(70_000)));
    }
    let hash = hold(&filled, &photo).await;
    let shown = filled.get(&path).await["attachments"].clone();
    let held = shown.as_array().unwrap().iter().find(|shown| shown["held"] == true).unwrap().clone();
    assert_eq!(held["hash"], hash);
    assert_eq!(
        filled.get(&format!("/api/events/{}/event/{}", filled.space(), filled.contested)).await["attachments"],
        json!([])
    );
}

#[tokio::test]
async fn a_photo_is_served_so_that_no_browser_runs_it_and_only_where_it_belongs() {
    let filled = filled().await;
    let photo = picture(600_000);
    let hash = hold(&filled, &photo).await;
    let page = b"<!doctype html><script>alert(1)</script>".to_vec();
    let page_hash = hold(&filled, &page).await;
    let of = |space: &str, hash: &str| format!("/api/spaces/{space}/attachments/{hash}");
    let path = of(&filled.space(), &hash);
    let ask = async |path: &str, more: &[(&str, &str)]| {
        let mut request =
            Request::get(path).header(header::HOST, "localhost").header(header::COOKIE, &filled.cookie);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let response = filled.routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, head.headers, to_bytes(body, usize::MAX).await.unwrap())
    };
    let (status, headers, body) = ask(&path, &[]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, photo.len()));
    assert_eq!(body, photo);
    let text = |name: &str| headers[name].to_str().unwrap();
    assert_eq!(text("content-type"), "image/jpeg");
    assert_eq!(text("x-content-type-options"), "nosniff");
    assert_eq!(text("content-disposition"), format!("attachment; filename=\"{}.jpeg\"", &hash[..16]));
    assert_eq!(text("content-security-policy"), "default-src 'none'; sandbox");
    assert_eq!(text("cache-control"), "no-store");
    assert_eq!(text("etag"), format!("\"{hash}\""));
    let (status, headers, body) = ask(&path, &[("range", "bytes=300000-300009")]).await;
    assert_eq!((status, &body[..]), (StatusCode::PARTIAL_CONTENT, &photo[300_000..300_010]));
    assert_eq!(headers["content-range"], "bytes 300000-300009/600000");
    let (status, headers, _) = ask(&path, &[("range", "bytes=600000-")]).await;
    assert_eq!(
        (status, &headers["content-range"]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */600000".parse().unwrap())
    );
    let (status, _, body) = ask(&path, &[("if-none-match", &format!("\"{hash}\""))]).await;
    assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
    let (_, headers, body) = ask(&of(&filled.space(), &page_hash), &[]).await;
    assert_eq!(
        (&headers["content-type"], body.len()),
        (&"application/octet-stream".parse().unwrap(), page.len())
    );
    // Elsewhere it does not exist, and whoever is not signed in gets nothing.
    let unknown = blake3::hash(b"nobody sent it").to_hex().to_string();
    for (space, hash) in [("11".repeat(32), hash.as_str()), (filled.space(), &unknown)] {
        let (status, _, body) = ask(&of(&space, hash), &[]).await;
        let problem: Json = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    }
    for hash in ["..%2f..%2frelay.key", "relay.key", &hash[..62], &format!("{hash}00")] {
        assert_eq!(ask(&of(&filled.space(), hash), &[]).await.0, StatusCode::BAD_REQUEST, "{hash}");
    }
    let stranger = Request::get(&path).header(header::HOST, "localhost").body(Body::empty()).unwrap();
    assert_eq!(filled.routes.clone().oneshot(stranger).await.unwrap().status(), StatusCode::UNAUTHORIZED);
}
