//! The promises of the store, kept on PostgreSQL and on SQLite by the same cases.
//!
//! PostgreSQL: `FARMHAND_TEST_DATABASE_URL`, by default the local one. Every case has a database of
//! its own, dropped at its end.

mod kit;

mod acting;
mod announcing;
mod claiming;
mod deciding;
mod delivering;
mod drift;
mod fencing;
mod healing;
mod holding;
mod journaling;
mod locking;
mod outbox;
mod quarantine;
mod rate;
mod reacting;
mod reaping;
mod requesting;
mod rotation;
mod scheduling;
mod schema;
mod tokens;

/// Each case becomes a test on both databases.
macro_rules! on_both_databases {
    ($($module:ident :: $case:ident,)*) => {
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::$module::$case(crate::kit::World::on_postgresql().await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                crate::$module::$case(crate::kit::World::on_sqlite().await).await;
            })*
        }
    };
}

on_both_databases! {
    announcing::what_a_commit_announces_is_written_with_it,
    announcing::a_batch_announces_for_those_whose_write_counted,
    announcing::what_is_rolled_back_is_not_announced,
    announcing::three_hundred_ends_are_announced_in_one_commit,
    announcing::a_wait_that_a_wish_overtook_is_not_announced,
    announcing::who_is_cancelled_before_a_worker_had_it_is_announced_too,
    announcing::announcements_and_events_leave_apart_the_oldest_first,
    announcing::two_announcers_share_the_work,
    announcing::an_announcer_that_hangs_holds_up_no_event,
    announcing::what_is_announced_wakes_the_announcer_and_not_the_relay,
    announcing::what_nobody_took_for_long_is_given_up_and_no_event_is,
    announcing::what_is_too_large_for_an_event_is_refused_and_fails_no_commit,
    rotation::a_verdict_that_changes_is_announced_and_a_first_look_only_where_something_is_wrong,
    rotation::an_account_that_goes_and_comes_back_is_announced,
    quarantine::a_quarantine_is_announced_once_and_its_end_once,
    scheduling::a_due_time_that_is_missed_is_announced,
    requesting::a_request_comes_back_as_it_was_asked,
    requesting::a_key_gives_the_same_workflow_and_a_reused_one_a_conflict,
    requesting::twenty_requests_with_one_key_make_one_workflow,
    requesting::a_request_that_fails_half_way_leaves_nothing,
    requesting::a_farm_on_record_keeps_its_specification,
    requesting::a_dry_run_leaves_no_farm,
    requesting::pages_do_not_shift_while_requests_come_in,
    requesting::filters_find_what_they_name,
    requesting::farms_are_listed_by_name_a_page_at_a_time,
    requesting::times_sort_as_times_whatever_their_fraction,
    requesting::only_unfinished_workflows_are_counted,
    requesting::what_no_version_wrote_is_named,
    claiming::one_of_twenty_claimers_gets_it,
    claiming::answers_come_in_the_order_of_the_ids,
    claiming::a_claim_brings_what_the_last_worker_left,
    claiming::a_heartbeat_renews_and_tells_what_is_asked,
    claiming::a_heartbeat_of_a_lost_lease_says_so,
    locking::the_lock_of_a_farm_passes_in_the_order_of_asking,
    locking::two_farms_are_worked_on_side_by_side,
    locking::a_latecomer_does_not_slip_in_before_those_who_wait,
    locking::a_lock_is_kept_while_waiting_and_its_token_grows,
    locking::dry_runs_and_urgent_work_take_no_lock,
    locking::one_batch_with_two_of_a_farm_gives_the_lock_to_its_holder,
    locking::many_on_one_farm_all_get_their_turn,
    journaling::a_commit_writes_steps_and_lease,
    journaling::a_stale_token_writes_nothing,
    journaling::three_hundred_workflows_share_a_commit,
    journaling::two_entries_of_one_workflow_are_refused,
    journaling::a_bad_row_rolls_all_back,
    journaling::characters_that_databases_dislike_survive,
    journaling::steps_not_begun_are_shown_as_pending,
    journaling::a_finish_records_the_farm,
    journaling::deployed_farms_are_found_by_their_group,
    journaling::a_dry_run_ends_with_its_plan,
    journaling::a_released_workflow_is_queued_with_its_event,
    journaling::an_unwinding_survives_the_worker,
    journaling::a_wish_that_meets_a_wait_is_not_slept_over,
    acting::the_table_of_states_and_actions_is_what_was_reviewed,
    acting::a_cancelled_workflow_that_wrote_is_unwound_by_a_worker,
    acting::a_cancelled_workflow_gives_its_lock_to_the_next,
    acting::a_pause_before_the_start_gives_up_the_lock_and_later_keeps_it,
    acting::a_retry_starts_with_a_clean_slate,
    acting::what_is_waited_for_by_nobody_is_not_resumed,
    acting::every_change_raises_the_revision,
    deciding::an_approval_queues_the_workflow_and_is_kept_with_its_step,
    deciding::what_is_refused_changes_nothing,
    deciding::of_ten_that_decide_at_once_one_does,
    deciding::an_approval_and_a_cancellation_at_once_end_in_one_of_both,
    deciding::a_rejection_before_any_write_cancels_and_gives_the_lock_to_the_next,
    deciding::a_rejection_after_writes_has_a_worker_take_them_back,
    deciding::hosts_are_acknowledged_until_none_is_awaited,
    deciding::a_failed_host_brings_the_workflow_back_at_once,
    deciding::a_failed_host_may_be_left_out_while_it_waits_for_an_operator,
    deciding::acknowledgements_are_all_or_nothing,
    deciding::words_about_twenty_hosts_at_once_are_all_kept,
    fencing::a_fence_holds_the_work_on_a_farm_and_about_a_host_and_nothing_else,
    fencing::a_running_workflow_learns_of_it_and_stays_stopped,
    fencing::one_that_fails_at_the_fence_is_not_tried_again_before_it_is_lowered,
    fencing::no_claim_slips_through_a_fence,
    fencing::commits_claims_and_fences_do_not_wait_for_each_other,
    fencing::what_would_rest_or_be_handed_over_at_the_fence_is_paused,
    fencing::one_whose_worker_died_is_held_and_goes_on_when_the_fence_is_lowered,
    fencing::every_end_of_a_containment_lowers_its_fence,
    fencing::one_that_stops_for_a_fence_that_is_down_goes_on_at_once,
    fencing::what_a_person_has_paused_stays_paused_and_is_planned_anew_when_resumed,
    fencing::a_persons_cancellation_goes_its_way_through_the_fence,
    fencing::a_containment_that_is_over_raises_no_fence,
    fencing::two_containments_see_what_either_has_stopped,
    quarantine::a_host_is_put_under_quarantine_once_and_released,
    quarantine::of_ten_that_quarantine_a_host_at_once_one_does_and_all_learn_which,
    quarantine::a_host_can_be_put_under_quarantine_while_it_is_released,
    quarantine::the_quarantine_is_listed_newest_first_a_page_at_a_time,
    quarantine::denials_are_noted_once_and_forgotten_with_the_release,
    quarantine::who_asked_for_a_workflow_is_on_record,
    quarantine::only_deployed_farms_are_asked_about,
    outbox::the_relay_deletes_what_was_confirmed_and_nothing_else,
    outbox::an_urgent_event_does_not_wait_behind_the_others,
    outbox::two_relays_share_the_work,
    outbox::a_relay_that_is_dropped_loses_nothing,
    outbox::a_written_event_wakes_the_relay,
    reaping::an_expired_lease_is_released,
    reaping::due_workflows_are_woken_and_others_sleep,
    reaping::an_unanswered_event_is_repeated_at_growing_distances,
    reaping::several_reapers_do_each_thing_once,
    rotation::a_second_look_at_the_same_changes_only_its_time,
    rotation::a_change_of_verdict_or_key_is_history,
    rotation::what_was_not_seen_is_gone_and_may_come_back,
    rotation::the_board_is_filtered_and_its_pages_do_not_shift,
    rotation::old_changes_and_gone_accounts_are_forgotten,
    rotation::two_checks_at_once_leave_one_item_each,
    rotation::a_deployed_farm_is_found_by_its_account,
    rotation::farms_of_an_earlier_version_are_found_by_their_account,
    drift::a_result_comes_back_as_it_was_recorded_and_only_other_items_are_a_change,
    drift::of_two_checks_the_one_that_began_later_is_believed,
    drift::a_result_stands_until_the_record_or_a_workflow_on_the_farm_moves,
    drift::what_was_asked_for_and_not_reached_is_told_with_the_farm,
    drift::a_check_that_comes_to_its_end_moves_the_mark_and_every_result,
    drift::farms_are_listed_and_counted_by_how_they_stand,
    drift::a_mending_is_noted_with_the_drift_that_it_is_for,
    drift::other_items_than_before_are_announced_and_so_is_that_none_are_left,
    tokens::a_token_is_known_until_it_expires_or_is_revoked,
    tokens::use_is_noted_once_a_minute,
    tokens::there_is_one_first_token,
    scheduling::a_schedule_comes_back_as_it_was_made_and_its_name_is_taken,
    scheduling::a_change_of_what_has_changed_meanwhile_is_refused,
    scheduling::a_schedule_that_is_on_has_a_next_due_time_or_the_database_refuses_it,
    scheduling::a_due_time_becomes_a_row_a_workflow_and_an_event_in_one,
    scheduling::a_plan_that_fails_leaves_the_due_time,
    scheduling::of_many_that_fire_at_once_each_due_time_is_fired_by_one,
    scheduling::what_changed_while_it_was_planned_is_planned_again,
    scheduling::a_due_time_on_record_is_not_fired_again_whatever_the_schedule_says,
    scheduling::a_backlog_is_taken_in_bounded_parts_and_in_order,
    scheduling::what_waits_in_line_runs_one_after_the_other,
    scheduling::a_deleted_schedule_leaves_what_it_did_and_runs_nothing_more,
    scheduling::one_schedule_that_cannot_be_read_does_not_stop_the_others,
    scheduling::the_last_due_time_ends_the_schedule_and_says_why,
    scheduling::old_rows_go_and_those_of_workflows_that_go_on_stay,
    scheduling::overdue_schedules_are_seen_without_the_scheduler,
    scheduling::many_schedules_that_are_due_at_once_are_fired_page_by_page,
    scheduling::the_roles_of_a_principal_are_those_of_its_tokens_that_were_not_revoked,
    reacting::a_rule_comes_back_as_it_was_made_and_its_name_is_taken,
    reacting::an_event_becomes_a_row_a_workflow_and_an_event_in_one,
    reacting::of_many_that_hear_an_event_at_once_one_fires_it,
    reacting::a_rate_is_kept_by_many_at_once_and_looks_back_no_further_than_it_says,
    reacting::the_same_key_fires_once_within_its_time,
    reacting::a_rule_that_has_changed_since_it_was_read_records_nothing,
    reacting::a_containment_is_not_asked_for_again_while_the_same_goes_on,
    reacting::work_that_comes_of_a_rule_is_known_as_its_own,
    reacting::who_defined_a_rule_cannot_approve_what_it_asks_for,
    reacting::old_firings_go_and_those_of_workflows_that_go_on_stay,
    reacting::one_rule_that_cannot_be_read_does_not_stop_the_others,
    reacting::an_event_is_to_be_sent_once_to_each_webhook_that_is_there_and_on,
    delivering::a_webhook_comes_back_without_its_secret_and_its_name_is_taken,
    delivering::of_many_senders_each_delivery_is_in_the_hands_of_one,
    delivering::a_lease_that_is_over_is_another_senders_and_the_first_settles_nothing,
    delivering::what_is_given_up_can_be_sent_again_for_another_day,
    delivering::a_receiver_that_wants_nothing_more_pauses_its_webhook,
    delivering::a_backlog_of_one_webhook_hides_no_others,
    delivering::old_deliveries_go_and_pending_ones_stay,
    delivering::a_call_is_announced_once_for_all_of_its_keys,
    holding::destructive_work_waits_for_the_end_of_a_freeze_and_then_runs,
    holding::what_is_urgent_or_harmless_or_only_asks_is_never_held,
    holding::held_work_keeps_nobody_else_from_its_farm,
    holding::a_lock_that_reaches_held_work_is_handed_on,
    holding::what_has_begun_to_write_goes_on,
    holding::an_approval_is_asked_in_a_freeze_and_obeyed_after_it,
    holding::a_change_of_calendars_is_judged_at_once_and_by_other_processes_in_a_second,
    holding::a_calendar_that_cannot_be_read_keeps_no_claim_from_being_made,
    schema::an_empty_database_is_behind_and_refused,
    schema::a_newer_database_is_refused,
    schema::up_down_and_up_again,
    schema::two_that_migrate_at_once_do_not_clash,
}
