//! Flows of the documented use cases: later requests see what earlier ones added or changed.

use serde_json::{Value, json};

use crate::support::Mews;

fn page() -> Value {
    json!({ "Count": 1000 })
}

fn first(response: &Value, list: &str) -> Value {
    response[list].get(0).unwrap_or_else(|| panic!("{list} is empty: {response}")).clone()
}

#[tokio::test]
async fn kiosk_a_guest_is_checked_in_and_out() {
    let mews = Mews::start().await;
    let all = |states: Value| json!({ "States": states, "Limitation": page() });
    let confirmed = mews.call("reservations/getAll/2023-06-06", all(json!(["Confirmed"]))).await;
    let id = first(&confirmed, "Reservations")["Id"].clone();
    let one = json!({ "ReservationIds": [id], "Limitation": page() });
    for (operation, state, time) in
        [("reservations/start", "Started", "ActualStartUtc"), ("reservations/process", "Processed", "ActualEndUtc")]
    {
        let response = mews.call(operation, json!({ "ReservationId": id })).await;
        assert_eq!(response, json!({}));
        let reservation = first(&mews.call("reservations/getAll/2023-06-06", one.clone()).await, "Reservations");
        assert_eq!(reservation["State"], state);
        assert!(reservation[time].is_string(), "{reservation}");
    }
    let confirmed_now = mews.call("reservations/getAll/2023-06-06", all(json!(["Confirmed"]))).await;
    let count = |response: &Value| response["Reservations"].as_array().unwrap().len();
    assert_eq!(count(&confirmed_now), count(&confirmed) - 1);
}

#[tokio::test]
async fn kiosk_a_profile_is_added_changed_and_found() {
    let mews = Mews::start().await;
    let added = mews.call("customers/add", json!({ "LastName": "Zyx", "OverwriteExisting": false })).await;
    assert_eq!(
        (&added["LastName"], &added["FirstName"], &added["IsActive"]),
        (&json!("Zyx"), &Value::Null, &json!(true))
    );
    let changed = mews.call("customers/update", json!({ "CustomerId": added["Id"], "FirstName": "Ada" })).await;
    assert_eq!(changed["FirstName"], "Ada");
    let searched = mews.call("customers/search", json!({ "Name": "zY", "Extent": { "Customers": true } })).await;
    assert_eq!(searched["Customers"].as_array().unwrap().len(), 1);
    assert_eq!(searched["Customers"][0]["Customer"], changed);
    let request = json!({ "CustomerIds": [added["Id"]], "Extent": { "Customers": true }, "Limitation": page() });
    assert_eq!(mews.call("customers/getAll", request).await["Customers"], json!([changed]));
}

#[tokio::test]
async fn booking_a_reservation_is_added_and_its_guest_changed() {
    let mews = Mews::start().await;
    let reservation = json!({
        "Identifier": "7", "State": "Confirmed", "StartUtc": "2026-12-01T14:00:00Z", "EndUtc": "2026-12-03T10:00:00Z",
        "CustomerId": "guest", "RequestedCategoryId": "category", "RateId": "rate",
        "PersonCounts": [{ "AgeCategoryId": "adult", "Count": 2 }],
    });
    let added = mews.call("reservations/add", json!({ "ServiceId": "stay", "Reservations": [reservation] })).await;
    assert_eq!(added["Reservations"][0]["Identifier"], "7");
    let ours = &added["Reservations"][0]["Reservation"];
    for (field, value) in [
        ("State", "Confirmed"),
        ("ScheduledStartUtc", "2026-12-01T14:00:00Z"),
        ("StartUtc", "2026-12-01T14:00:00Z"),
        ("EndUtc", "2026-12-03T10:00:00Z"),
        ("AccountId", "guest"),
        ("RequestedResourceCategoryId", "category"),
        ("ServiceId", "stay"),
    ] {
        assert_eq!(ours[field], value, "{field}");
    }
    assert_eq!(ours["PersonCounts"], json!([{ "AgeCategoryId": "adult", "Count": 2 }]));
    let colliding = |start: &str, end: &str| json!({ "CollidingUtc": { "StartUtc": start, "EndUtc": end }, "ServiceIds": ["stay"], "Limitation": page() });
    let found =
        mews.call("reservations/getAll/2023-06-06", colliding("2026-12-02T00:00:00Z", "2026-12-09T00:00:00Z")).await;
    assert_eq!(found["Reservations"], json!([ours]));
    let found =
        mews.call("reservations/getAll/2023-06-06", colliding("2026-12-04T00:00:00Z", "2026-12-09T00:00:00Z")).await;
    assert_eq!(found["Reservations"], json!([]));
    mews.call("reservations/updateCustomer", json!({ "ReservationId": ours["Id"], "CustomerId": "other" })).await;
    mews.call("reservations/addCompanion", json!({ "ReservationId": ours["Id"], "CustomerId": "friend" })).await;
    let request = json!({ "AccountIds": ["other"], "Limitation": page() });
    assert_eq!(first(&mews.call("reservations/getAll/2023-06-06", request).await, "Reservations")["Id"], ours["Id"]);
    let companions =
        |id: &Value| json!({ "ReservationIds": [id], "Extent": { "Reservations": true }, "Limitation": page() });
    let found = mews.call("companionships/getAll", companions(&ours["Id"])).await;
    assert_eq!(first(&found, "Companionships")["CustomerId"], "friend");
    mews.call("reservations/deleteCompanion", json!({ "ReservationId": ours["Id"], "CustomerId": "friend" })).await;
    assert_eq!(mews.call("companionships/getAll", companions(&ours["Id"])).await["Companionships"], json!([]));
}

#[tokio::test]
async fn point_of_sale_a_charge_is_posted_and_found() {
    let mews = Mews::start().await;
    let amount = json!({ "Currency": "GBP", "GrossValue": 12.0, "TaxCodes": ["UK-S"] });
    let order = json!({
        "ServiceId": "bar", "AccountId": "guest",
        "ProductOrders": [{ "ProductId": "beer", "Count": 3 }],
        "Items": [{ "Name": "Peanuts", "UnitCount": 1, "UnitAmount": amount }],
    });
    let order_id = mews.call("orders/add", order).await["OrderId"].clone();
    let request = json!({ "ServiceOrderIds": [order_id], "Limitation": page() });
    let items = mews.call("orderItems/getAll", request).await;
    let [peanuts, beer] = &items["OrderItems"].as_array().unwrap()[..] else { panic!("{items}") };
    assert_eq!(
        (&beer["UnitCount"], &beer["Type"], &beer["AccountId"]),
        (&json!(3), &json!("ProductOrder"), &json!("guest"))
    );
    assert_eq!((&peanuts["BillingName"], &peanuts["UnitAmount"]["NetValue"]), (&json!("Peanuts"), &json!(10.0)));
    let cancelled = mews.call("orderItems/cancel", json!({ "OrderItemIds": [beer["Id"]] })).await;
    assert_eq!(cancelled["OrderItemIds"], json!([beer["Id"]]));
    let request = json!({ "OrderItemIds": [beer["Id"]], "Limitation": page() });
    assert_eq!(first(&mews.call("orderItems/getAll", request).await, "OrderItems")["AccountingState"], "Canceled");
}

#[tokio::test]
async fn housekeeping_a_room_is_cleaned_blocked_and_freed() {
    let mews = Mews::start().await;
    let rooms = |ids: Value| {
        let mut request = json!({ "Extent": { "Resources": true }, "Limitation": page() });
        if !ids.is_null() {
            request["ResourceIds"] = ids;
        }
        request
    };
    let room = first(&mews.call("resources/getAll", rooms(Value::Null)).await, "Resources");
    let update = json!({ "ResourceId": room["Id"], "State": { "Value": "OutOfService" }, "Name": null });
    mews.call("resources/update", json!({ "ResourceUpdates": [update] })).await;
    let changed = first(&mews.call("resources/getAll", rooms(json!([room["Id"]]))).await, "Resources");
    assert_eq!((&changed["State"], &changed["Name"]), (&json!("OutOfService"), &room["Name"]));
    let block = json!({ "ResourceId": room["Id"], "Type": "OutOfOrder", "Name": "Paint",
        "StartUtc": "2026-12-01T00:00:00Z", "EndUtc": "2026-12-02T00:00:00Z" });
    let blocked = mews.call("resourceBlocks/add", json!({ "ResourceBlocks": [block] })).await;
    let block = first(&blocked, "ResourceBlocks");
    let request = json!({ "ResourceBlockIds": [block["Id"]], "Limitation": page() });
    assert_eq!(first(&mews.call("resourceBlocks/getAll", request.clone()).await, "ResourceBlocks")["Name"], "Paint");
    mews.call("resourceBlocks/delete", json!({ "ResourceBlockIds": [block["Id"]] })).await;
    assert_eq!(mews.call("resourceBlocks/getAll", request).await["ResourceBlocks"], json!([]));
}

#[tokio::test]
async fn staff_a_task_is_added_and_closed() {
    let mews = Mews::start().await;
    let id = mews.call("tasks/add", json!({ "Name": "Towels", "DeadlineUtc": "2026-12-01T00:00:00Z" })).await["TaskId"]
        .clone();
    mews.call("tasks/close", json!({ "TaskIds": [id] })).await;
    let task = first(&mews.call("tasks/getAll", json!({ "TaskIds": [id], "Limitation": page() })).await, "Tasks");
    assert_eq!((&task["Name"], &task["State"]), (&json!("Towels"), &json!("Closed")));
    assert!(task["ClosedUtc"].is_string());
}

#[tokio::test]
async fn accounting_a_bill_is_added_paid_and_closed() {
    let mews = Mews::start().await;
    let id = mews.call("bills/add", json!({ "Bills": [{ "AccountId": "guest" }] })).await["BillId"].clone();
    let payment = json!({ "AccountId": "guest", "BillId": id, "Type": "Cash", "ExternalIdentifier": "r-1",
        "Amount": { "Currency": "GBP", "GrossValue": 100.0, "TaxCodes": [] } });
    let paid = mews.call("payments/addExternal", payment).await["ExternalPaymentId"].clone();
    let found =
        first(&mews.call("payments/getAll", json!({ "BillIds": [id], "Limitation": page() })).await, "Payments");
    assert_eq!((&found["Id"], &found["Amount"]["GrossValue"]), (&paid, &json!(100.0)));
    mews.call("bills/close", json!({ "BillId": id, "Type": "Receipt" })).await;
    let bill = first(&mews.call("bills/getAll", json!({ "BillIds": [id], "Limitation": page() })).await, "Bills");
    assert_eq!((&bill["State"], &bill["AccountId"]), (&json!("Closed"), &json!("guest")));
}

#[tokio::test]
async fn loyalty_a_membership_is_added_and_ends() {
    let mews = Mews::start().await;
    let program = first(
        &mews.call("loyaltyPrograms/add", json!({ "LoyaltyPrograms": [{ "Name": "Club", "Code": "C", "Type": "Hotel", "Subscription": "Free" }] })).await,
        "LoyaltyPrograms",
    );
    let membership =
        json!({ "AccountId": "guest", "LoyaltyProgramId": program["Id"], "IsPrimary": true, "State": "Enrolled" });
    let added = mews.call("loyaltyMemberships/add", json!({ "LoyaltyMemberships": [membership] })).await;
    let id = first(&added, "LoyaltyMemberships")["Id"].clone();
    let request = json!({ "LoyaltyProgramIds": [program["Id"]], "Limitation": page() });
    let found = mews.call("loyaltyMemberships/getAll", request.clone()).await;
    assert_eq!(first(&found, "LoyaltyMemberships")["AccountId"], "guest");
    mews.call("loyaltyMemberships/delete", json!({ "LoyaltyMembershipIds": [id] })).await;
    assert_eq!(mews.call("loyaltyMemberships/getAll", request).await["LoyaltyMemberships"], json!([]));
}

#[tokio::test]
async fn devices_a_command_is_added_received_and_done() {
    let mews = Mews::start().await;
    let command = json!({ "PrinterId": "p", "CopyCount": 1, "Data": "JVBERg==" });
    let id = mews.call("commands/addPrinter", command).await["CommandId"].clone();
    let active = |response: Value| response["Commands"].as_array().unwrap().iter().any(|command| command["Id"] == id);
    assert!(active(mews.call("commands/getAllActive", json!({})).await));
    mews.call("commands/update", json!({ "CommandId": id, "State": "Processed" })).await;
    assert!(!active(mews.call("commands/getAllActive", json!({})).await));
    let found = mews.call("commands/getAllByIds", json!({ "CommandIds": [id], "Limitation": page() })).await;
    assert_eq!(first(&found, "Commands")["State"], "Processed");
}

#[tokio::test]
async fn pricing_covers_the_time_units_that_were_asked_for() {
    let mews = Mews::start().await;
    let request = json!({ "RateId": "r", "FirstTimeUnitStartUtc": "2026-12-01T23:00:00.000Z",
        "LastTimeUnitStartUtc": "2026-12-03T23:00:00.000Z" });
    let pricing = mews.call("rates/getPricing", request).await;
    assert_eq!(
        pricing["TimeUnitStartsUtc"],
        json!(["2026-12-01T23:00:00Z", "2026-12-02T23:00:00Z", "2026-12-03T23:00:00Z"])
    );
    assert_eq!(pricing["CategoryPrices"][0]["AmountPrices"].as_array().unwrap().len(), 3);
    // Five years are valid only for a monthly service, and this one is not known to be one.
    let span = |end: &str| json!({ "RateId": "r", "FirstTimeUnitStartUtc": "2000-01-01T00:00:00Z", "LastTimeUnitStartUtc": end });
    let long = mews.call("rates/getPricing", span("2004-12-01T00:00:00Z")).await;
    assert_eq!(long["TimeUnitStartsUtc"].as_array().unwrap().len(), 100);
    assert_eq!(mews.ask("rates/getPricing", span("9999-01-01T00:00:00Z"), "").await.status, 400);
}
