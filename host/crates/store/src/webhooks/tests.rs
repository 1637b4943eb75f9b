use super::*;
use crate::testing::{Place, each_engine};

fn attempt(webhook: &str, seq: i64, number: i64, status: DeliveryStatus, at_ms: i64) -> WebhookAttempt {
    WebhookAttempt {
        webhook: webhook.into(),
        seq,
        event_id: format!("e-{seq}"),
        event_type: "SecurityEvent".into(),
        status,
        number,
        code: Some(if status == DeliveryStatus::Delivered { 204 } else { 503 }),
        error: None,
        excerpt: Some("busy".into()),
        took_ms: 3,
        at_ms,
    }
}

async fn statuses(deliveries: &WebhookDeliveries, webhook: &str) -> Vec<(i64, DeliveryStatus, i64)> {
    deliveries.list(webhook, 0, None, None, 100).await.unwrap().into_iter().map(|one| (one.seq, one.status, one.attempts)).collect()
}

use DeliveryStatus::{Delivered, Failed, Pending, Retrying};

#[tokio::test]
async fn a_delivery_is_what_was_attempted_last() {
    each_engine("a_delivery_is_what_was_attempted_last", async |place: Place| {
        let deliveries = place.open().await.webhook_deliveries(100);
        let id = deliveries.expect("a", 7, ("e-7", "t"), Some(3), 10).await.unwrap();
        assert_eq!(statuses(&deliveries, "a").await, [(7, Pending, 0)]);
        deliveries.attempted(&[attempt("a", 7, 1, Retrying, 20), attempt("a", 8, 1, Delivered, 21), attempt("b", 7, 1, Failed, 22)]).await.unwrap();
        assert_eq!(statuses(&deliveries, "a").await, [(8, Delivered, 1), (7, Retrying, 1)]);
        // An attempt that is told late changes nothing.
        deliveries.attempted(&[attempt("a", 7, 2, Delivered, 30)]).await.unwrap();
        deliveries.attempted(&[attempt("a", 7, 1, Retrying, 31)]).await.unwrap();
        let found = deliveries.get("a", id).await.unwrap().expect("is there");
        assert_eq!((found.status, found.attempts, found.code, found.replay_of, found.last_ms), (Delivered, 2, Some(204), Some(3), 30));
        assert_eq!(deliveries.get("b", id).await.unwrap(), None);
        // One that was quicker than its announcement.
        let late = deliveries.expect("a", 8, ("e-8", "t"), Some(1), 40).await.unwrap();
        assert_eq!(deliveries.get("a", late).await.unwrap().map(|one| (one.status, one.replay_of)), Some((Delivered, Some(1))));
        assert_eq!(deliveries.list("a", 0, Some(Delivered), Some(late), 100).await.unwrap().len(), 1);
        deliveries.forget("a").await.unwrap();
        assert_eq!((statuses(&deliveries, "a").await.len(), statuses(&deliveries, "b").await.len()), (0, 1));
    })
    .await;
}

#[tokio::test]
async fn failures_count_from_the_first_behind_a_success() {
    each_engine("failures_count_from_the_first_behind_a_success", async |place: Place| {
        let deliveries = place.open().await.webhook_deliveries(100);
        let since = async || deliveries.states().await.unwrap().get("a").copied().unwrap_or_default();
        assert_eq!(since().await, WebhookState::default());
        deliveries.attempted(&[attempt("a", 1, 1, Retrying, 10), attempt("a", 1, 2, Retrying, 20), attempt("a", 2, 1, Failed, 30)]).await.unwrap();
        assert_eq!(since().await.failing_since_ms, Some(10));
        deliveries.attempted(&[attempt("a", 1, 3, Delivered, 40), attempt("a", 3, 1, Retrying, 50)]).await.unwrap();
        assert_eq!(since().await, WebhookState { failing_since_ms: Some(50), last_success_ms: Some(40) });
        deliveries.begin_anew("a").await.unwrap();
        assert_eq!(since().await.failing_since_ms, None);
    })
    .await;
}

#[tokio::test]
async fn the_log_has_a_bound_by_count_and_by_age_and_what_is_given_up_says_so() {
    each_engine("the_log_has_a_bound_by_count_and_by_age_and_what_is_given_up_says_so", async |place: Place| {
        let deliveries = place.open().await.webhook_deliveries(3);
        for seq in 1..=5 {
            deliveries.attempted(&[attempt("a", seq, 1, Retrying, seq * 10), attempt("b", seq, 1, Delivered, 1_000)]).await.unwrap();
        }
        assert_eq!(statuses(&deliveries, "a").await.iter().map(|one| one.0).collect::<Vec<_>>(), [5, 4, 3]);
        let waiting = deliveries.retrying(0, 100).await.unwrap();
        assert_eq!(waiting.iter().map(|one| one.seq).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(deliveries.retrying(waiting[1].id, 100).await.unwrap().len(), 1);
        deliveries.gave_up(&[waiting[0].id, waiting[1].id]).await.unwrap();
        assert_eq!(statuses(&deliveries, "a").await, [(5, Retrying, 1), (4, Failed, 1), (3, Failed, 1)]);
        assert_eq!(deliveries.expire(50).await.unwrap(), 2);
        assert_eq!((statuses(&deliveries, "a").await.len(), statuses(&deliveries, "b").await.len()), (1, 3));
    })
    .await;
}
