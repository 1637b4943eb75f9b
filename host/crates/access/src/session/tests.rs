use super::*;
use crate::user::UserName;

const LIVES: Lives = Lives { access: Duration::from_secs(900), refresh: Duration::from_secs(3_600), session: Duration::from_secs(7_200) };
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn user(name: &str) -> Person {
    Person::User(UserName::parse(name).expect("a name"))
}

fn ada() -> Person {
    user("ada")
}

fn begun(now_ms: i64) -> (Sessions, Pair) {
    let (session, pair) = Session::begin(ada(), None, HERE, now_ms, &LIVES).expect("random");
    (Sessions::new(vec![session]), pair)
}

#[track_caller]
fn renewed(sessions: &mut Sessions, shown: &RefreshToken, now_ms: i64) -> Pair {
    match sessions.refresh(shown, now_ms, &LIVES).expect("random") {
        Refreshed::Renewed(session, pair) => {
            sessions.put(*session);
            pair
        }
        Refreshed::Reused(_) => panic!("reused"),
        Refreshed::Denied(denied) => panic!("{denied:?}"),
    }
}

#[track_caller]
fn denied(sessions: &Sessions, shown: &RefreshToken, now_ms: i64, want: TokenDenied) {
    assert!(matches!(sessions.refresh(shown, now_ms, &LIVES).expect("random"), Refreshed::Denied(denied) if denied == want));
}

#[test]
fn an_access_token_lives_for_minutes_and_the_one_before_to_its_end() {
    let (mut sessions, first) = begun(0);
    assert!(sessions.admit(&first.access, 899_999).is_ok());
    assert_eq!(sessions.admit(&first.access, 900_000).map(|_| ()), Err(TokenDenied::Expired));
    let second = renewed(&mut sessions, &first.refresh, 600_000);
    assert!(sessions.admit(&first.access, 899_999).is_ok() && sessions.admit(&second.access, 1_499_999).is_ok());
    assert_eq!(sessions.admit(&first.access, 900_000).map(|_| ()), Err(TokenDenied::Expired));
    let third = renewed(&mut sessions, &second.refresh, 1_000_000);
    assert_eq!(sessions.admit(&first.access, 1_000_000).map(|_| ()), Err(TokenDenied::Unknown), "two before");
    assert!(sessions.admit(&third.access, 1_000_000).is_ok());
    let (_, other) = begun(0);
    assert_eq!(sessions.admit(&other.access, 0).map(|_| ()), Err(TokenDenied::Unknown));
}

#[test]
fn a_refresh_token_is_good_once_and_the_second_time_it_ends_the_session() {
    let (mut sessions, first) = begun(0);
    let second = renewed(&mut sessions, &first.refresh, 1);
    let third = renewed(&mut sessions, &second.refresh, 2);
    // Any older one, whatever its age, also after its own end.
    for old in [&first.refresh, &second.refresh] {
        for now_ms in [3, 3_700_000] {
            assert!(matches!(sessions.refresh(old, now_ms, &LIVES).expect("random"), Refreshed::Reused(session) if session.person == ada()));
        }
    }
    // A guess is no reuse: whoever does not hold the chain ends nothing.
    let id = third.refresh.id().clone();
    denied(&sessions, &RefreshToken::mint(&id).expect("random"), 3, TokenDenied::Unknown);
    sessions.remove(&id);
    denied(&sessions, &third.refresh, 3, TokenDenied::Unknown);
    assert_eq!(sessions.admit(&third.access, 3).map(|_| ()), Err(TokenDenied::Unknown));
}

#[test]
fn a_session_ends_by_itself_when_idle_and_in_any_case() {
    let (mut sessions, first) = begun(0);
    denied(&sessions, &first.refresh, 3_600_000, TokenDenied::Expired);
    let second = renewed(&mut sessions, &first.refresh, 3_599_999);
    let third = renewed(&mut sessions, &second.refresh, 7_100_000);
    assert!(sessions.admit(&third.access, 7_199_999).is_ok());
    assert_eq!(sessions.admit(&third.access, 7_200_000).map(|_| ()), Err(TokenDenied::Expired), "not beyond the end of the session");
    denied(&sessions, &third.refresh, 7_200_000, TokenDenied::Expired);
    assert_eq!(sessions.over(7_200_000).len(), 1);
    assert!(sessions.over(7_199_999).is_empty());
}

#[test]
fn one_person_has_so_many_and_the_oldest_goes() {
    let mut sessions = Sessions::default();
    let other = user("bob");
    for now_ms in 0..MOST_OF_ONE as i64 {
        assert!(sessions.in_the_way(&ada(), now_ms).is_empty());
        sessions.put(Session::begin(ada(), None, HERE, now_ms, &LIVES).expect("random").0);
    }
    let way = sessions.in_the_way(&ada(), 100);
    assert_eq!((way.len(), sessions.remove(&way[0]).map(|session| session.created_ms)), (1, Some(0)));
    assert!(sessions.in_the_way(&other, 100).is_empty(), "another one");
    assert_eq!(sessions.of(&ada()).len(), MOST_OF_ONE - 1);
    assert_eq!(sessions.in_the_way(&other, 10_000_000).len(), MOST_OF_ONE - 1, "all are over");
}

#[test]
fn memory_has_a_bound() {
    let one = Session::begin(ada(), None, HERE, 0, &LIVES).expect("random").0;
    let nth = |n: usize| Session {
        id: SessionId::parse(&format!("{n:016}")).expect("an id"),
        person: user(&format!("u{n}")),
        ends_ms: 7_200_000 - n as i64,
        ..one.clone()
    };
    let sessions = Sessions::new((0..MOST_SESSIONS).map(nth).collect());
    let way = sessions.in_the_way(&ada(), 1);
    assert_eq!(way, [SessionId::parse(&format!("{:016}", MOST_SESSIONS - 1)).expect("an id")], "the one that ends first");
}
