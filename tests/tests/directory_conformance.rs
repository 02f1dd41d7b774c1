//! One list of cases, run against the embedded directory and against a real domain controller
//! through the same adapter: both must give the same answers.
//!
//! Each case makes objects under a prefix of its own and they are deleted afterwards, also when
//! the case fails. Where Samba does not do what a case expects of a directory, the case says so
//! in so many words ([`World::is_real`]). What needs requests that the adapter never sends (unpaged
//! searches, forged controls) is tested beside the embedded directory itself.

mod conformance;

use conformance::{changes, gmsa, groups, login, names, rights, search, spn, topology};

/// For each case a test on either side.
macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        mod embedded {
            $(mod $module {
                $(#[tokio::test]
                async fn $case() {
                    crate::conformance::World::embedded().await.run(super::super::$module::$case).await;
                })+
            })+
        }
        mod real {
            $(mod $module {
                $(#[tokio::test]
                async fn $case() {
                    crate::conformance::World::real().run(super::super::$module::$case).await;
                })+
            })+
        }
    };
}

cases! {
    names:
        a_name_stands_once_in_its_container,
        an_account_name_stands_once_in_the_domain,
        a_missing_parent_is_named,
        a_computer_account_ends_with_one_dollar,
        forbidden_characters_in_account_names,
        only_containers_hold_accounts,
        any_character_in_a_cn_survives,
        what_the_schema_does_not_know,
        names_and_classes_are_not_modified,
        what_is_missing_cannot_be_changed,
        what_has_children_is_not_deleted,
        a_rename_keeps_the_object_and_what_it_is_called_by,
        a_new_name_must_be_free_and_be_one;
    gmsa:
        the_server_completes_an_account,
        what_is_left_out_gets_ads_defaults,
        the_interval_is_mandatory_and_fixed,
        only_the_server_writes_key_ids,
        a_single_value_stays_single,
        compare_and_swap,
        replacing_and_deleting_attributes,
        values_are_checked_by_their_syntax,
        attributes_belong_to_classes,
        readers_are_kept_byte_for_byte,
        an_account_is_disabled_and_enabled,
        delegation_is_written_only_at_creation;
    spn:
        an_spn_belongs_to_one_account,
        a_host_spn_covers_its_aliases,
        malformed_spns,
        spellings_of_one_spn_on_one_account,
        spns_follow_the_dns_name,
        spns_follow_the_account_name;
    groups:
        the_server_completes_a_group,
        members_and_their_back_links,
        adding_a_member_twice_undoes_the_modify,
        removing_one_who_is_no_member_undoes_the_modify,
        members_must_exist,
        the_idempotent_forms,
        a_sid_names_a_member,
        groups_in_circles,
        deleting_takes_the_links_along,
        the_group_changes_and_the_member_does_not;
    search:
        by_every_identifier,
        logic_and_absence,
        substrings_and_order,
        bits,
        computers_and_accounts,
        memberships_in_chain,
        scopes,
        bases_that_are_no_dn,
        bases_that_are_not_there,
        selections_of_attributes,
        ranges_of_values,
        token_groups,
        effective_rights,
        page_by_page,
        changes_since;
    changes:
        a_dc_names_its_database_and_where_it_stands,
        every_write_raises_the_highest_usn,
        what_is_written_as_it_was_is_no_change,
        a_renamed_object_has_changed_and_its_groups_have_not,
        a_deleted_object_leaves_no_trace_that_the_delegated_account_sees;
    rights:
        accounts_only_in_their_container,
        groups_only_where_delegated,
        the_domains_own_objects,
        hosts_can_be_disabled_and_no_more,
        trust_for_delegation,
        who_may_rename,
        key_secrets;
    login:
        a_wrong_password,
        an_unknown_account;
    topology:
        the_root_names_the_partitions,
        the_only_dc_is_found,
        the_catalogue_searches_the_forest,
        what_preflight_reads;
}
