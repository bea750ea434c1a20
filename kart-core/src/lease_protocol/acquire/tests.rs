use super::*;

const OTHER: ProcessId = ProcessId(2);

/// A try that has read the claim of generation 1.
fn reading(read: &Response) -> (Acquire, Action) {
    let mut acquire = Acquire::new(ProcessId(1), Nonce(1));
    acquire.next(&Response::NotCreated);
    acquire.next(&Response::Generations(vec![1]));
    let action = acquire.next(read);
    (acquire, action)
}

/// A slow contender creates a generation that others have passed and cleared meanwhile.
#[test]
fn a_takeover_wins_only_while_it_is_the_highest_generation() {
    let (mut acquire, _) = reading(&Response::Unreadable);
    assert_eq!(
        acquire.next(&Response::Created),
        Action::Request(Request::List)
    );
    let action = acquire.next(&Response::Generations(vec![2, 3]));
    assert_eq!(action, Action::Request(Request::List));

    let (mut acquire, _) = reading(&Response::Unreadable);
    acquire.next(&Response::Created);
    let action = acquire.next(&Response::Generations(vec![1, 2]));
    assert_eq!(action, Action::Request(Request::Read(1)));
    let won = Won {
        generation: 2,
        nonce: Nonce(1),
    };
    assert_eq!(acquire.next(&Response::Unreadable), Action::Won(won));
}

/// Another process has swept the key meanwhile, so that its first generation is free.
#[test]
fn a_takeover_is_given_up_where_what_it_took_over_has_changed() {
    for found in [Response::NoClaim, Response::Claim(OTHER, Nonce(3))] {
        let (mut acquire, _) = reading(&Response::Claim(OTHER, Nonce(2)));
        acquire.next(&Response::Health(Health::Dead));
        acquire.next(&Response::Claim(OTHER, Nonce(2)));
        acquire.next(&Response::Created);
        acquire.next(&Response::Generations(vec![2]));
        let action = acquire.next(&found);
        assert_eq!(action, Action::Request(Request::Delete(2)));
        let action = acquire.next(&Response::Deleted);
        assert_eq!(action, Action::Request(Request::Create(1)));
    }
}

#[test]
fn a_takeover_whose_answer_was_lost_is_compared_with_what_it_took_over() {
    let (mut acquire, _) = reading(&Response::Unreadable);
    acquire.next(&Response::NotCreated);
    acquire.next(&Response::Generations(vec![2]));
    let action = acquire.next(&Response::Claim(ProcessId(1), Nonce(1)));
    assert_eq!(action, Action::Request(Request::Read(1)));
    let action = acquire.next(&Response::NoClaim);
    assert_eq!(action, Action::Request(Request::Delete(2)));
}

#[test]
fn work_that_failed_for_good_is_not_tried_again_where_its_holder_was_seen_or_is_alive() {
    let failed = |was_seen| Response::Failed {
        by: OTHER,
        was_seen,
    };
    let ended = Action::Failed {
        by: OTHER,
        generation: 1,
    };
    assert_eq!(reading(&failed(true)).1, ended);

    let (mut acquire, action) = reading(&failed(false));
    assert_eq!(action, Action::Request(Request::Look(OTHER)));
    assert_eq!(acquire.next(&Response::Health(Health::Alive)), ended);
}

#[test]
fn work_that_failed_for_good_right_before_the_end_of_its_holder_is_not_tried_again() {
    let (mut acquire, _) = reading(&Response::Claim(OTHER, Nonce(2)));
    let action = acquire.next(&Response::Health(Health::Dead));
    assert_eq!(action, Action::Request(Request::Read(1)));
    let failed = Response::Failed {
        by: OTHER,
        was_seen: false,
    };
    let ended = Action::Failed {
        by: OTHER,
        generation: 1,
    };
    assert_eq!(acquire.next(&failed), ended);
}

#[test]
fn work_that_failed_for_good_is_free_where_its_holder_is_dead_and_was_never_seen() {
    let failed = Response::Failed {
        by: OTHER,
        was_seen: false,
    };
    let (mut acquire, _) = reading(&failed);
    let action = acquire.next(&Response::Health(Health::Dead));
    assert_eq!(action, Action::Request(Request::Create(2)));

    let (mut acquire, _) = reading(&failed);
    let action = acquire.next(&Response::Health(Health::Unknown));
    let held = Action::Held {
        by: OTHER,
        generation: 1,
        health: Health::Unknown,
    };
    assert_eq!(action, held);
}
