//! The dashboard as a browser without script sees it.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_SECURITY_POLICY, COOKIE, LOCATION, SET_COOKIE};
use sluice_proto::v1;

use crate::support::World;

struct Browser {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let base = format!("http://{}", world.running().dashboard_address().unwrap());
        Self {
            client,
            base,
            cookie: String::new(),
        }
    }

    async fn log_in(world: &World, subject: &str) -> Self {
        let mut browser = Self::new(world);
        let answer = browser
            .post("/login", &[("token", &world.issuer.token(subject))])
            .await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{subject}");
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        browser.cookie = cookie.split(';').next().unwrap().to_owned();
        browser
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client
            .get(format!("{}{path}", self.base))
            .header(COOKIE, &self.cookie)
            .send()
            .await
            .unwrap()
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::Response {
        let body = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("&");
        self.client
            .post(format!("{}{path}", self.base))
            .header(COOKIE, &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn every_page_needs_a_login_and_has_a_content_security_policy() {
    let world = World::with_policy().await;
    let browser = Browser::new(&world);
    for path in [
        "/",
        "/evidence",
        "/evidence.csv",
        "/evidence.jsonl",
        "/sessions",
        "/sessions/x",
        "/approvals",
        "/policy",
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert_eq!(answer.headers()[LOCATION], "/login");
        assert!(
            answer.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'")
        );
    }
    let refused = browser.post("/login", &[("token", "garbage")]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(browser.get("/style.css").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_auditor_searches_exports_and_cannot_be_fooled_by_markup() {
    let world = World::with_policy().await;
    let hostile = v1::AskApprovalRequest {
        gateway: "gateway-1".to_owned(),
        principal: "User:svc-payments".to_owned(),
        operation: "Write".to_owned(),
        topic: "payments".to_owned(),
        client_id: "<script>alert(1)</script>".to_owned(),
        ..v1::AskApprovalRequest::default()
    };
    world.link().await.ask_approval(hostile).await.unwrap();
    let browser = Browser::log_in(&world, "dave").await;
    let page = browser
        .get("/evidence?kind=ApprovalAsked&text=payments&from=&to=")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("1 records") && page.contains("&lt;script&gt;") && !page.contains("<script"),
        "{page}"
    );
    let lines = browser
        .get("/evidence.jsonl?kind=ApprovalAsked")
        .await
        .text()
        .await
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(line["record"]["kind"], "ApprovalAsked");
    let csv = browser
        .get("/evidence.csv?kind=ApprovalAsked")
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(csv.lines().count(), 2);
    for path in ["/", "/sessions", "/approvals", "/policy"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(!answer.text().await.unwrap().contains("<script"), "{path}");
    }
    assert_eq!(
        browser.get("/sessions/none").await.status(),
        StatusCode::NOT_FOUND
    );
    // An author reads policy and no evidence.
    let author = Browser::log_in(&world, "peggy").await;
    assert_eq!(author.get("/policy").await.status(), StatusCode::OK);
    assert_eq!(
        author.get("/evidence").await.status(),
        StatusCode::FORBIDDEN
    );
    assert!(
        !author
            .get("/")
            .await
            .text()
            .await
            .unwrap()
            .contains("Evidence logs")
    );
}

#[tokio::test]
async fn an_approval_needs_the_forms_own_secret_and_another_person() {
    let world = World::with_policy().await;
    let request = v1::RequestApprovalRequest {
        principal: "User:svc-payments".to_owned(),
        operation: "Write".to_owned(),
        topic: "payments".to_owned(),
        reason: String::new(),
    };
    let opened = world
        .admin("alice")
        .await
        .request_approval(request)
        .await
        .unwrap()
        .into_inner();
    let form = format!("/approvals/{}", opened.id);
    let carol = Browser::log_in(&world, "carol").await;
    let forged = carol
        .post(&form, &[("csrf", "guess"), ("answer", "approve")])
        .await;
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);

    let alice = Browser::log_in(&world, "alice").await;
    let csrf = csrf(&alice.get("/approvals").await.text().await.unwrap());
    let own = alice
        .post(&form, &[("csrf", &csrf), ("answer", "approve")])
        .await;
    assert_eq!(own.status(), StatusCode::FORBIDDEN);

    let secret = self::csrf(&carol.get("/approvals").await.text().await.unwrap());
    let approved = carol
        .post(
            &form,
            &[("csrf", &secret), ("answer", "approve"), ("reason", "seen")],
        )
        .await;
    assert_eq!(approved.status(), StatusCode::SEE_OTHER);
    assert!(
        carol
            .get("/approvals")
            .await
            .text()
            .await
            .unwrap()
            .contains("approved")
    );
    assert_eq!(
        carol.post("/logout", &[("csrf", &secret)]).await.status(),
        StatusCode::SEE_OTHER
    );
    assert_eq!(carol.get("/policy").await.status(), StatusCode::SEE_OTHER);
}

fn csrf(page: &str) -> String {
    page.split("name=\"csrf\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned()
}
