//! Contracts out of the documentation's tables.

use nightaudit_mews::docs::{Docs, InvalidDocs};
use nightaudit_mews::{Contracts, Operation};

const PARCELS: &str = r##"# Parcels

## Get all parcels

Lists parcels. Note this operation uses [Pagination](../guidelines/pagination.md).

### Request

`[PlatformAddress]/api/connector/v1/parcels/getAll`

```javascript
| `Sample` | string | required | A table in a sample is none. |
```

| Property | Type | Contract | Description |
| :-- | :-- | :-- | :-- |
| `ClientToken` | string | required | Who asks. |
| `AccessToken` | string | required | For whom. |
| `Client` | string | required | With what. |
| `ParcelIds` | array of string | optional, max 10 items | Which parcels. Required if no other filter is provided. |
| `States` | array of [Parcel state](parcels.md#parcel-state) | optional | In which state \| any. |
| `UpdatedUtc` | [Time interval](_objects.md#time-interval) | optional, max length 3 months | Changed when. |
| `Extent` | [Parcel extent](#parcel-extent) | required | What is wanted. |
| ~~`Codes`~~ | ~~array of string~~ | ~~required, max 5 items~~ | ~~Which codes.~~ **Deprecated!** Use `ParcelIds`. |
| `Shelf` | [Shelf](shelves.md#shelf) | optional | A type that no page has. |
| `Limitation` | [Limitation](../guidelines/pagination.md#limitation) | required | How many. |

#### Parcel extent

| Property | Type | Contract | Description |
| :-- | :-- | :-- | :-- |
| `Parcels` | boolean | required | The parcels. |
| `Sender` | [Parcel sender](parcels.md#parcel-sender) | optional | Who sent them. |

#### Parcel sender

| Property | Type | Contract | Description |
| :-- | :-- | :-- | :-- |
| `Name` | string | required, max length 20 characters | A name. |
| `Kind` | [Sender kind](parcels.md#sender-kind) | optional | A kind. |

#### Parcel state

* `Sent` - On its way.
* `Lost` - **Deprecated!** Nobody loses parcels.

#### Sender kind

- `Person`
- `Company`

This list is not exhaustive.

### Response

| Property | Type | Contract | Description |
| :-- | :-- | :-- | :-- |
| `Answered` | string | required | A field of the response. |

## ~~Get parcels by code~~

### Request

`[PlatformAddress]/api/connector/v1/parcels/getByCode`
"##;

const OBJECTS: &str = "# Objects\n\n## Interval\n\n### Time interval\n\n| Property | Type | Contract | Description |\n\
    | :-- | :-- | :-- | :-- |\n| `StartUtc` | string | required | From, in UTC timezone. |\n\
    | `EndUtc` | string | required | To, in UTC timezone. |\n";

const PAGES: &str = "# Pagination\n\n### Limitation\n\n| Property | Type | Contract | Description |\n\
    | :-- | :-- | :-- | :-- |\n| `Count` | number | required | How many, minimum 1, maximum 1000. |\n\
    | `Cursor` | string | optional | Where from. |\n";

const DEPRECATIONS: &str = "| Feature | Comments | Deprecated | Discontinued |\n| :-- | :-- | :-- | :-- |\n\
    | `Codes` in [Get all parcels](../operations/parcels.md#get-all-parcels) | Use `ParcelIds` | 01 Feb 2024 | 9th Jan 2025 |\n\
    | [Get parcels by code](../operations/parcels.md#get-parcels-by-code) | Use [Get all parcels](../operations/parcels.md#get-all-parcels) | 01 Mar 2024 | - |\n";

fn docs(pages: &[(&str, &str)]) -> Docs {
    let mut docs = Docs::default();
    for (path, text) in pages {
        assert!(Docs::wants(path), "{path}");
        docs.add(path, (*text).to_owned());
    }
    docs
}

fn contracts(pages: &[(&str, &str)]) -> Contracts {
    let data = docs(pages).data().expect("the pages are good");
    Contracts::from_data(&data, "today").expect("what was read can be used")
}

/// An operation's own fields, a line for each, without the envelope's.
fn lines(operation: &Operation) -> Vec<String> {
    let mut lines = Vec::new();
    operation.request.walk(&mut |path, _, field| {
        lines.push(format!("{path} {}: {}", field.type_name(), field.rules().join("; ")));
    });
    lines.drain(..5);
    lines
}

#[test]
fn tables_nested_types_lists_and_deprecations_are_read() {
    let contracts = contracts(&[
        ("operations/parcels.md", PARCELS),
        ("operations/_objects.md", OBJECTS),
        ("guidelines/pagination.md", PAGES),
        ("deprecations/README.md", DEPRECATIONS),
        (
            "operations/README.md",
            "## Post\n\n| Operation | Description |\n| :-- | :-- |\n| [Get all parcels](parcels.md#get-all-parcels) | Lists |\n",
        ),
    ]);
    let all = contracts.operation("parcels/getAll").expect("the page has it");
    assert_eq!((&*all.title, &*all.group, all.paginated), ("Get all parcels", "Post", true));
    assert_eq!(
        lines(all),
        [
            "ParcelIds GUID[]: at most 10 items",
            "States ParcelState[]: ",
            "UpdatedUtc TimeInterval: at most 3 months",
            "UpdatedUtc.StartUtc time in UTC: required",
            "UpdatedUtc.EndUtc time in UTC: required",
            "Extent ParcelExtent: required",
            "Extent.Parcels boolean: required",
            "Extent.Sender ParcelSender: ",
            "Extent.Sender.Name string: required; at most 20 characters",
            "Extent.Sender.Kind SenderKind: ",
            "Codes string[]: at most 5 items; deprecated since 2024-02-01, discontinued on 2025-01-09, instead: ParcelIds",
            "Shelf object: ",
            "Limitation Limitation: required",
            "Limitation.Count number: required; 1 to 1000",
            "Limitation.Cursor string: ",
        ]
    );
    assert_eq!(all.request.describe_rules(), ["at least one of ParcelIds, States, UpdatedUtc, Shelf"]);
    let old = contracts.operation("parcels/getByCode").expect("the page has it");
    assert_eq!(old.describe(), ["deprecated since 2024-03-01", "instead: parcels/getAll"]);

    let check = |fields: &str| {
        let body = format!(r#"{{"ClientToken":"C","AccessToken":"A","Client":"Acme 1.0",{fields}}}"#);
        let findings = contracts.check("parcels/getAll", body.as_bytes());
        findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect::<Vec<_>>()
    };
    let good =
        r#""States":["Sent"],"Limitation":{"Count":1},"Extent":{"Parcels":true,"Sender":{"Name":"n","Kind":"Robot"}}"#;
    assert_eq!(check(good), [""; 0], "a list that isn't exhaustive allows other values");
    assert_eq!(check(&good.replace("Sent", "Eaten")), ["UnknownValue /States/0"]);
    assert_eq!(check(&good.replace("Sent", "Lost")), ["DeprecatedValue /States/0"]);
    assert_eq!(check(&good.replace(r#""Name":"n","#, "")), ["MissingField /Extent/Sender/Name"]);
    assert_eq!(check(&format!(r#"{good},"Answered":1"#)), ["UnknownField /Answered"]);
    assert_eq!(check(&format!(r#"{good},"Sample":1"#)), ["UnknownField /Sample"]);
}

#[test]
fn missing_parts_cost_only_themselves() {
    let contracts = contracts(&[("operations/parcels.md", PARCELS)]);
    let all = contracts.operation("parcels/getAll").expect("the page has it");
    let lines = lines(all);
    assert!(lines.contains(&"UpdatedUtc object: ".to_owned()), "{lines:?}");
    assert!(lines.contains(&"Codes string[]: at most 5 items; deprecated, instead: ParcelIds".to_owned()), "{lines:?}");
    assert_eq!(&*all.group, "");
    // Without a table nothing is known of a request, and nothing is held against it.
    assert!(contracts.operation("parcels/getByCode").is_some_and(|operation| operation.request.open));
    assert_eq!(
        contracts.check("parcels/getByCode", br#"{"ClientToken":"C","AccessToken":"A","Client":"c 1","X":1}"#),
        []
    );
}

#[test]
fn pages_that_are_cut_anywhere_are_read_or_refused_in_one_line() {
    for (at, _) in PARCELS.char_indices().step_by(7) {
        match docs(&[("operations/parcels.md", &PARCELS[..at])]).catalogue() {
            Ok(catalogue) => assert!(!catalogue.operations().is_empty(), "{at}"),
            Err(error) => {
                assert!(matches!(error, InvalidDocs::NoOperations), "{at}: {error}");
                assert!(!error.to_string().contains('\n'), "{at}");
            }
        }
    }
}

#[test]
fn hostile_pages_end_in_an_error_or_a_catalogue() {
    let head = "## A\n### Request\n`[PlatformAddress]/api/connector/v1/";
    let table = |row: &str| format!("{head}a/b`\n| `ClientToken` | string | required | . |\n{row}\n");
    for text in [
        format!("{head}`\n"),
        format!("{head}a\"]\n[object.Envelope]`\n"),
        format!("{head}a/b"),
        table("| `A`"),
        table("| `A` | | | |"),
        table("| `A` | array of array of array of array of string | required, max 99999999999999999999 items | |"),
        table("| `A` | [](#) | required | |"),
        table("| `A` | [A](#a) | required | |\n#### A\n| `A` | [A](#a) | required | itself |"),
        table("| `A` | number | required | minimum 9, maximum 1 |"),
        table("| `A` | [É](#é) | required | |\n#### É\n* `\"\"\"`\n* `é`"),
        table(&"| `A` | string | required | |\n".repeat(20_000)),
    ] {
        let _: Result<_, InvalidDocs> = docs(&[("operations/a.md", &text)]).catalogue();
    }
}

#[test]
fn folders_without_operations_are_refused() {
    for pages in [
        &[][..],
        &[("operations/a.md", "")],
        &[("operations/a.md", "# A\n\n## B\n\nText.\n")],
        &[("guidelines/pagination.md", PAGES)],
    ] {
        assert!(matches!(docs(pages).data(), Err(InvalidDocs::NoOperations)), "{pages:?}");
    }
}

#[test]
fn the_revision_is_the_newest_day_of_the_changelog() {
    let changelog =
        "{% update date=\"2026-01-31\" %}\n{% update date=\"2026-13-99\" %}\n{% update date=\"2025-12-01\" %}";
    assert_eq!(docs(&[("changelog/README.md", changelog)]).revision().as_deref(), Some("2026-01-31"));
    assert_eq!(docs(&[("changelog/README.md", "none")]).revision(), None);
    assert_eq!(Docs::default().revision(), None);
}

#[test]
fn what_is_known_out_of_sentences_outlives_pages_that_are_read_anew() {
    let data = r#"
        [operation."bills/close"]
        title = "Close bill"
        fields = """
        Later     string
        DueDate   StringUpdateValue
        Type      BillType           required
        Currency  string
        """
        [operation."customers/getOpenItems"]
        title = "Get customers open items"
        fields = "Currency string"
        [object.Envelope]
        fields = ""
        [object.StringUpdateValue]
        fields = "Value string"
        [enum.BillType]
        values = ["Invoice", "Receipt"]
    "#;
    let contracts = Contracts::from_data(data, "today").expect("the data is good");
    let found = |operation: &str, body: &str| {
        let findings = contracts.check(operation, body.as_bytes());
        findings.iter().map(|finding| format!("{:?} {}", finding.kind, finding.pointer)).collect::<Vec<_>>()
    };
    let close = r#"{"Type":"Receipt","DueDate":{"Value":"2026-01-01"},"Currency":"eur"}"#;
    assert_eq!(found("bills/close", close), ["Conflict /DueDate"], "by the value's name, which has another place now");
    assert_eq!(found("bills/close", &close.replace("Receipt", "Invoice")), [""; 0]);
    assert_eq!(found("customers/getOpenItems", r#"{"Currency":"eur"}"#), ["MalformedText /Currency"]);
    assert_eq!(found("customers/getOpenItems", r#"{"Currency":"EUR"}"#), [""; 0]);
}
