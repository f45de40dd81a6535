//! How an adapter is chosen.

use dbksvd_gpu::{Adapter, Gpu, GpuError, adapters};

#[test]
fn an_adapter_is_found_by_its_number_and_by_a_part_of_its_name() {
    let all = adapters();
    assert!(!all.is_empty(), "no adapter");
    let last = all.len() - 1;
    let by_number = Gpu::on(&Adapter::Number(last)).expect("the last adapter");
    assert_eq!(by_number.adapter(), &all[last]);
    let part = all[0].name[1..].to_uppercase();
    let by_name = Gpu::on(&Adapter::Named(part)).expect("the first adapter");
    assert_eq!(by_name.adapter().name, all[0].name);
}

#[test]
fn an_adapter_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let all = adapters();
    for (choice, wanted) in
        [(Adapter::Named("Voodoo 2".into()), "Voodoo 2"), (Adapter::Number(99), "99")]
    {
        let error = Gpu::on(&choice).expect_err("no such adapter");
        assert!(matches!(error, GpuError::NoSuchAdapter { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(wanted) && message.contains(&all[0].name), "{message}");
    }
}

#[test]
fn a_text_is_a_number_a_name_or_nothing() {
    assert_eq!(Adapter::parse(""), Adapter::Best);
    assert_eq!(Adapter::parse("1"), Adapter::Number(1));
    assert_eq!(Adapter::parse("llvmpipe"), Adapter::Named("llvmpipe".into()));
}
