//! Rules that the documentation has in words only: each with the request that breaks it, and beside it the nearest one that
//! doesn't.

use nightaudit_mews::{Finding, check_request, check_sent, operation};

const ID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
const SENT: &str = "2026-03-15T12:00:00";

fn body(fields: &str) -> String {
    let fields = fields.replace("ID", ID);
    format!(r#"{{"ClientToken":"c","AccessToken":"a","Client":"Acme Kiosk 2.1.0",{fields}}}"#)
}

fn findings(path: &str, fields: &str) -> Vec<Finding> {
    let operation = operation(path).unwrap_or_else(|| panic!("{path}"));
    let sent = SENT.parse().expect("it is a time");
    let body = body(fields);
    let findings = check_sent(operation, body.as_bytes(), Some(sent));
    findings.into_iter().filter(|finding| finding.disputed.is_none()).collect()
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect()
}

/// Checks that `wrong` gives exactly the finding, and `right` none.
fn holds(path: &str, wrong: &str, finding: &str, right: &str) {
    let found = findings(path, wrong);
    assert_eq!(told(&found), [finding], "{path}: {wrong}: {found:?}");
    let found = findings(path, right);
    assert_eq!(found, [], "{path}: {right}");
}

#[test]
fn what_only_an_invoice_has() {
    let close = r#""BillId":"ID","Type":"Receipt","Notes":{"Value":"n"}"#;
    for (field, value) in [("TaxedDate", "2026-03-15"), ("DueDate", "2026-03-15"), ("VariableSymbol", "12345678")] {
        let wrong = format!(r#"{close},"{field}":{{"Value":"{value}"}}"#);
        let operation = operation("bills/close").expect("it is documented");
        let found = check_request(operation, body(&wrong).as_bytes());
        assert_eq!(told(&found), [format!("Conflict /{field}")]);
        // Mews' own sample closes a receipt with all three.
        assert!(found[0].disputed.is_some());
        let right = wrong.replace("Receipt", "Invoice");
        assert_eq!(check_request(operation, body(&right).as_bytes()), []);
    }
    assert_eq!(findings("bills/close", close), []);
}

#[test]
fn billing_automations_have_companies_and_aggregation_that_fit() {
    let add = |target: &str, aggregation: &str, companies: &str| {
        format!(
            r#""BillingAutomations":[{{"Name":"n","Prepayment":"All","TriggerType":"Continuous",{companies}
            "AssignmentTargetType":"{target}","BillAggregationType":"{aggregation}","Assignments":[]}}]"#
        )
    };
    let one = r#""CompaniesWithRelations":[{"CompanyId":"ID","CompanyRelations":{"PartnerCompany":true,"TravelAgency":false}}],"#;
    let path = "billingAutomations/add";
    let conflict = "Conflict /BillingAutomations/0/AssignmentTargetType";
    holds(path, &add("NoCompany", "OnePerReservation", ""), conflict, &add("NoCompany", "AggregateByCustomer", ""));
    holds(path, &add("CompanyAsDetails", "AggregateAll", ""), conflict, &add("CompanyAsOwner", "AggregateAll", one));
    let missing = "MissingField /BillingAutomations/0/CompaniesWithRelations";
    holds(path, &add("CompanyAsOwner", "AggregateAll", ""), missing, &add("CompanyAsOwner", "AggregateAll", one));
    let empty = add("CompanyAsOwner", "AggregateAll", r#""CompaniesWithRelations":[],"#);
    holds(
        path,
        &empty,
        missing,
        &empty.replace("CompanyAsOwner", "CompanyAsDetails").replace("All\",\"A", "ByCustomer\",\"A"),
    );
}

#[test]
fn updates_of_billing_automations_are_held_as_far_as_they_say() {
    let update = |fields: &str| format!(r#""BillingAutomationUpdates":[{{"BillingAutomationId":"ID",{fields}}}]"#);
    let path = "billingAutomations/update";
    let both = update(r#""AssignmentTargetType":{"Value":"NoCompany"},"BillAggregationType":{"Value":"AggregateAll"}"#);
    let conflict = "Conflict /BillingAutomationUpdates/0/AssignmentTargetType";
    holds(path, &both, conflict, &both.replace("AggregateAll", "AggregateByCustomer"));
    // What the other is now doesn't stand in the request.
    assert_eq!(findings(path, &update(r#""BillAggregationType":{"Value":"AggregateAll"}"#)), []);
    let empty = update(r#""AssignmentTargetType":{"Value":"CompanyAsOwner"},"Companies":{"Value":[]}"#);
    let missing = "MissingField /BillingAutomationUpdates/0/Companies";
    holds(path, &empty, missing, &empty.replace("CompanyAsOwner", "NoCompany"));
    holds(path, &empty, missing, &empty.replace(r#","Companies":{"Value":[]}"#, ""));
    let unknown = "UnknownValue /BillingAutomationUpdates/0/Prepayment/Value";
    holds(path, &update(r#""Prepayment":{"Value":"Some"}"#), unknown, &update(r#""Prepayment":{"Value":"Prepaid"}"#));
}

#[test]
fn amounts_have_a_value_and_one_tax_on_a_gross_one() {
    let charge = |amount: &str| format!(r#""CreditCardId":"ID","Amount":{{"Currency":"GBP",{amount}}}"#);
    let path = "creditCards/charge";
    let gross = charge(r#""GrossValue":10,"TaxCodes":["A","B"]"#);
    holds(path, &charge(r#""TaxCodes":["A"]"#), "MissingField /Amount", &charge(r#""GrossValue":10,"TaxCodes":["A"]"#));
    holds(path, &charge(r#""TaxCodes":["A"]"#), "MissingField /Amount", &charge(r#""NetValue":10,"TaxCodes":["A"]"#));
    holds(path, &gross, "TooManyItems /Amount/TaxCodes", &gross.replace("Gross", "Net"));
    holds(path, &gross, "TooManyItems /Amount/TaxCodes", &gross.replace(r#","B""#, ""));
}

#[test]
fn tax_codes_are_in_doubt_wherever_an_amount_is() {
    let (mut amounts, mut doubted) = (0, 0);
    for operation in nightaudit_mews::operations() {
        operation.request.walk(&mut |_, object, field| {
            if &*object.name == "AmountParameters" && &*field.name == "TaxCodes" {
                amounts += 1;
                doubted += usize::from(field.disputed.is_some());
            }
        });
    }
    assert_eq!((amounts, doubted), (18, 18));
    let price = r#""ServiceId":"ID","Reservations":[{"StartUtc":"2026-10-01T14:00:00Z","EndUtc":"2026-10-02T10:00:00Z",
        "CustomerId":"ID","RequestedCategoryId":"ID","RateId":"ID","PersonCounts":[{"AgeCategoryId":"ID","Count":1}],
        "TimeUnitAmount":{"Currency":"GBP","GrossValue":1},
        "TimeUnitPrices":[{"Index":0,"Amount":{"Currency":"GBP","GrossValue":1}}]}]"#;
    let operation = operation("reservations/price").expect("it is documented");
    let found = check_request(operation, body(price).as_bytes());
    assert_eq!(
        told(&found),
        [
            "MissingField /Reservations/0/TimeUnitAmount/TaxCodes",
            "MissingField /Reservations/0/TimeUnitPrices/0/Amount/TaxCodes"
        ]
    );
    assert!(found.iter().all(|finding| finding.disputed.is_some()));
}

#[test]
fn reservations_that_are_added_have_persons_and_a_state_of_new_ones() {
    let add = |fields: &str| {
        format!(
            r#""ServiceId":"ID","Reservations":[{{"StartUtc":"2026-10-01T14:00:00Z","EndUtc":"2026-10-02T10:00:00Z",
            "CustomerId":"ID","RequestedCategoryId":"ID","RateId":"ID",{fields}}}]"#
        )
    };
    let persons = r#""PersonCounts":[{"AgeCategoryId":"ID","Count":1}]"#;
    let path = "reservations/add";
    holds(path, &add(r#""PersonCounts":[]"#), "TooFewItems /Reservations/0/PersonCounts", &add(persons));
    let started = add(&format!(r#""State":"Started",{persons}"#));
    holds(path, &started, "UnknownValue /Reservations/0/State", &started.replace("Started", "Optional"));
    let price = add(&format!(r#""TimeUnitPrices":[{{"Index":-1}}],{persons}"#));
    holds(path, &price, "OutOfRange /Reservations/0/TimeUnitPrices/0/Index", &price.replace(":-1", ":0"));
}

#[test]
fn fields_that_ask_for_others() {
    let old = r#""ServiceIds":["ID"],"Extent":{"Reservations":true},"Limitation":{"Count":1},"#;
    let interval = r#","StartUtc":"2026-01-01T00:00:00Z","EndUtc":"2026-01-02T00:00:00Z""#;
    for (field, name) in [(r#""TimeFilter":"Created""#, "TimeFilter"), (r#""States":["Started"]"#, "States")] {
        let wrong = format!("{old}{field}");
        holds("reservations/getAll", &wrong, &format!("MissingPartner /{name}"), &format!("{wrong}{interval}"));
    }
    let prices = r#""ReservationUpdates":[{"ReservationId":"ID"},{"ReservationId":"ID",
        "TimeUnitPrices":{"Value":[{"Index":0}]}}]"#;
    let path = "reservations/update";
    holds(path, prices, "MissingPartner /ReservationUpdates", &format!(r#"{prices},"Reason":"r""#));
    holds(
        path,
        prices,
        "MissingPartner /ReservationUpdates",
        &prices.replace("TimeUnitPrices", "PersonCounts").replace(r#"{"Index":0}"#, ""),
    );
    let deleted = r#""DeletedUtc":{"StartUtc":"2026-01-01T00:00:00Z","EndUtc":"2026-01-02T00:00:00Z"},
        "Extent":{"Customers":true},"Limitation":{"Count":1}"#;
    let with = |states: &str| format!(r#"{deleted},"ActivityStates":{states}"#);
    holds("customers/getAll", deleted, "MissingPartner /DeletedUtc", &with(r#"["Deleted"]"#));
    holds("customers/getAll", &with(r#"["Active"]"#), "MissingPartner /DeletedUtc", &with(r#"["Active","Deleted"]"#));
    let voucher = |kind: &str| format!(r#""VoucherUpdates":[{{"VoucherId":"ID","Type":{{"Value":"{kind}"}}}}]"#);
    let missing = "MissingField /VoucherUpdates/0/CompanyId";
    for kind in ["PartnerCompany", "TravelAgency"] {
        holds("vouchers/update", &voucher(kind), missing, &voucher("Public"));
        holds(
            "vouchers/update",
            &voucher(kind),
            missing,
            &voucher(kind).replace("\"Type\"", "\"CompanyId\":{\"Value\":\"ID\"},\"Type\""),
        );
    }
}

#[test]
fn splits_of_an_availability_block_differ_and_add_up() {
    let update = |block: &str, adjustment: &str, counts: &str| {
        format!(
            r#""ServiceId":"ID","AvailabilityUpdates":[{{"FirstTimeUnitStartUtc":"2026-10-01T22:00:00Z",
            "LastTimeUnitStartUtc":"2026-10-01T22:00:00Z","ResourceCategoryId":"ID",{block}
            "UnitCountAdjustment":{{"Value":{adjustment}}},"PaxCounts":[{counts}]}}]"#
        )
    };
    let block = r#""AvailabilityBlockId":"ID","#;
    let (one, two) = (r#"{"PersonCount":1,"UnitCount":3}"#, r#"{"PersonCount":2,"UnitCount":2}"#);
    let both = format!("{one},{two}");
    let path = "services/updateAvailability";
    let at = "/AvailabilityUpdates/0/PaxCounts";
    let right = update(block, "-5", &both);
    holds(path, &update("", "-5", &both), &format!("MissingPartner {at}"), &right);
    holds(path, &update(block, "-4", &both), &format!("Conflict {at}"), &right);
    holds(path, &update(block, "5", one), &format!("Conflict {at}"), &update(block, "3", one));
    let twice = update(block, "-6", &format!("{one},{one}"));
    holds(path, &twice, &format!("Schema {at}/1"), &twice.replacen(r#""PersonCount":1"#, r#""PersonCount":4"#, 1));
    // A sum that can't be made is none.
    assert_eq!(findings(path, &update(block, "null", &both)), []);
}

#[test]
fn times_are_seen_from_the_request() {
    let price = |time: &str| {
        format!(
            r#""RateId":"ID","PriceUpdates":[{{"Value":1,"FirstTimeUnitStartUtc":"{time}","LastTimeUnitStartUtc":"{time}"}}]"#
        )
    };
    let found = findings("rates/updatePrice", &price("2031-03-15T12:15:00Z"));
    let at = "OutOfRange /PriceUpdates/0";
    assert_eq!(told(&found), [format!("{at}/FirstTimeUnitStartUtc"), format!("{at}/LastTimeUnitStartUtc")]);
    assert_eq!(found[0].expected, "at the latest 5 years after the request of 2026-03-15T12:00:00");
    assert_eq!(findings("rates/updatePrice", &price("2031-03-15T12:00:00Z")), []);
    // Without the time of the request nothing is said of it.
    let operation = operation("rates/updatePrice").expect("it is documented");
    assert_eq!(check_request(operation, body(&price("2099-01-01T00:00:00Z")).as_bytes()), []);

    let availability = |last: &str| {
        format!(
            r#""ServiceId":"ID","AvailabilityUpdates":[{{"FirstTimeUnitStartUtc":"2031-03-01T00:00:00Z",
            "LastTimeUnitStartUtc":"{last}","ResourceCategoryId":"ID","UnitCountAdjustment":{{"Value":1}}}}]"#
        )
    };
    holds(
        "services/updateAvailability",
        &availability("2031-03-16T00:00:00Z"),
        "OutOfRange /AvailabilityUpdates/0/LastTimeUnitStartUtc",
        &availability("2031-03-15T00:00:00Z"),
    );

    let plan = |month: &str| {
        format!(
            r#""BillingAutomationId":"ID","CustomerId":"ID","Name":"n","PaymentOffsetDays":1,"StartMonth":"{month}",
            "PaymentRequest":{{"PaymentMethods":["All"],"Message":"m","ExpirationDateUtc":"2026-04-01T00:00:00Z","SendEmail":true}}"#
        )
    };
    let path = "billingAutomationPaymentPlans/add";
    holds(path, &plan("2026-03"), "OutOfRange /StartMonth", &plan("2026-04"));
    let late = plan("2026-04").replace("2026-04-01T", "2026-04-15T");
    holds(path, &late, "OutOfRange /PaymentRequest/ExpirationDateUtc", &late.replace("04-15T00", "04-14T00"));
}

#[test]
fn time_units_begin_where_clocks_can_have_an_hour_begin() {
    let pricing = |time: &str| {
        format!(r#""RateId":"ID","FirstTimeUnitStartUtc":"2026-01-01T23:00:00Z","LastTimeUnitStartUtc":"{time}""#)
    };
    let path = "rates/getPricing";
    for (wrong, right) in [
        ("2026-01-02T23:59:59Z", "2026-01-02T23:00:00Z"),
        ("2026-01-02T18:31:00Z", "2026-01-02T18:30:00Z"),
        ("2026-01-02T18:15:00.5Z", "2026-01-02T18:15:00.000Z"),
    ] {
        holds(path, &pricing(wrong), "MalformedTime /LastTimeUnitStartUtc", &pricing(right));
    }
}

#[test]
fn forms_of_strings() {
    let card = |number: &str, expiration: &str, kind: &str| {
        format!(
            r#""CustomerId":"ID","Amount":{{"Currency":"GBP","GrossValue":1}},"CreditCard":{{"Type":"{kind}","Name":"n",
            "Number":"{number}","Expiration":"{expiration}"}}"#
        )
    };
    let path = "payments/addCreditCard";
    let right = card("411111******1111", "10/2031", "Visa");
    holds(path, &card("4111111111111111", "10/2031", "Visa"), "MalformedText /CreditCard/Number", &right);
    holds(path, &card("411111******1111", "2031-10", "Visa"), "MalformedText /CreditCard/Expiration", &right);
    holds(path, &card("411111******1111", "10/2031", "visa"), "UnknownValue /CreditCard/Type", &right);
    let found = findings(path, &card("4111111111111111", "10/2031", "Visa"));
    assert!(!found[0].to_string().contains("4111"), "a card's number is in {}", found[0]);

    let currency = |code: &str| format!(r#""CustomerIds":["ID"],"Currency":"{code}""#);
    holds("customers/getOpenItems", &currency("eur"), "MalformedText /Currency", &currency("EUR"));
    let nationality = |code: &str| format!(r#""OverwriteExisting":true,"LastName":"n","NationalityCode":"{code}""#);
    holds("customers/add", &nationality("British"), "MalformedText /NationalityCode", &nationality("GB"));
    let address = |country: &str, part: &str| {
        format!(r#""Addresses":[{{"AccountId":"ID","CountryCode":"{country}","CountrySubdivisionCode":"{part}"}}]"#)
    };
    holds("addresses/add", &address("DEU", "DE-BW"), "MalformedText /Addresses/0/CountryCode", &address("DE", "DE-BW"));
    holds(
        "addresses/add",
        &address("DE", "BW"),
        "MalformedText /Addresses/0/CountrySubdivisionCode",
        &address("DE", "DE-BW"),
    );
    let update = |value: &str| format!(r#""CompanyId":"ID","DunsNumber":{{"Value":{value}}}"#);
    holds(
        "companies/update",
        &update(r#""12-345-6789""#),
        "MalformedText /DunsNumber/Value",
        &update(r#""123456789""#),
    );
    assert_eq!(findings("companies/update", &update("null")), [], "an update that clears");
}

#[test]
fn ends_are_not_before_starts_whatever_they_are_called() {
    let code = |start: &str, end: &str| {
        format!(
            r#""VoucherCodeParameters":[{{"VoucherId":"ID","Value":"v","ValidityStartUtc":"{start}","ValidityEndUtc":"{end}"}}]"#
        )
    };
    let (one, two) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let reversed = "ReversedInterval /VoucherCodeParameters/0/ValidityEndUtc";
    holds("voucherCodes/add", &code(two, one), reversed, &code(one, one));
    let voucher = |start: &str, end: &str| {
        format!(
            r#""VoucherUpdates":[{{"VoucherId":"ID","OccupiableIntervalStartUtc":{{"Value":"{start}"}},
            "OccupiableIntervalEndUtc":{{"Value":"{end}"}}}}]"#
        )
    };
    let reversed = "ReversedInterval /VoucherUpdates/0/OccupiableIntervalEndUtc";
    holds("vouchers/update", &voucher(two, one), reversed, &voucher(one, two));
    let policies = |start: &str, end: &str| {
        format!(r#""RateIds":["ID"],"ReservationStartUtc":"{start}","ReservationEndUtc":"{end}""#)
    };
    holds(
        "cancellationPolicies/getByRates",
        &policies(two, one),
        "ReversedInterval /ReservationEndUtc",
        &policies(one, two),
    );
}
