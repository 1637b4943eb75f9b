use super::*;
use crate::testing::{Place, each_engine};

#[tokio::test]
async fn a_key_stands_for_its_first_request_until_it_is_old_or_forgotten() {
    each_engine("a_key_stands_for_its_first_request_until_it_is_old_or_forgotten", async |place: Place| {
        let answers = place.open().await.api_answers();
        assert_eq!(answers.begin(b"one", b"request", 100, 0).await.unwrap(), None);
        let cut_off = KeptAnswer { fingerprint: b"request".to_vec(), answer: None };
        assert_eq!(answers.begin(b"one", b"other", 101, 0).await.unwrap(), Some(cut_off));
        answers.keep(b"one", b"answer").await.unwrap();
        // Over a restart.
        let answers = place.open().await.api_answers();
        let kept = answers.begin(b"one", b"request", 102, 0).await.unwrap().expect("is there");
        assert_eq!(kept.answer.as_deref(), Some(&b"answer"[..]));
        assert_eq!(answers.begin(b"two", b"request", 103, 0).await.unwrap(), None);
        answers.forget(b"two").await.unwrap();
        assert_eq!(answers.begin(b"two", b"request", 104, 0).await.unwrap(), None);
        // The window is over for the first, not for the second.
        assert_eq!(answers.begin(b"one", b"request", 200, 103).await.unwrap(), None);
        assert!(answers.begin(b"two", b"request", 201, 103).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn the_oldest_keys_go_first() {
    each_engine("the_oldest_keys_go_first", async |place: Place| {
        let answers = place.open().await.api_answers();
        let mut tx = answers.database.begin().await.unwrap();
        for at in 0..MOST {
            let sql = "INSERT INTO api_answers (scope, fingerprint, created_ms) VALUES ($1, $2, $3)";
            tx.execute(sql, params![at.to_string().as_bytes(), &b"f"[..], at]).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(answers.begin(b"new", b"f", MOST, 0).await.unwrap(), None);
        let row = answers.database.fetch_optional("SELECT COUNT(*) AS n, MIN(created_ms) AS oldest FROM api_answers", Vec::new()).await.unwrap().unwrap();
        assert_eq!((row.get::<i64>("n").unwrap(), row.get::<i64>("oldest").unwrap()), (MOST, 1));
    })
    .await;
}
