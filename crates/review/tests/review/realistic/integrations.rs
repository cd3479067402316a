//! Integrations of six use cases, each as it should be and with one bad habit or another.

use super::world::{HOUR, HOURS, MINUTE, Patience, World, array};

const RESERVATIONS: &str = "reservations/getAll/2023-06-06";

/// What an integration does that it shouldn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    None,
    /// Asks for reservations every five minutes, give or take 40 %.
    Polls,
    /// Never mends what Mews refuses.
    NeverMends,
    /// Is refused every second time, and mends it each time.
    HalfRefused,
    /// Asks for rooms one by one.
    OneByOne,
    /// Tries again after the same pause each time.
    FixedPause,
    /// Reads the first page only.
    FirstPage,
    /// Asks for yesterday again and again.
    Yesterday,
    /// Sends an order twice where a button is pressed twice.
    Twice,
    /// Has no version.
    NoVersion,
    /// Gives up on what Mews fails at.
    GivesUp,
    /// Fetches the configuration before each thing that it does.
    FetchesAlways,
    /// Sends guests who look real.
    RealGuests,
    /// Fetches what a webhook names twice, now and then.
    FetchesTwice,
    /// Does its work before it responds to a webhook, and takes long now and then.
    AnswersLate,
    /// Has webhooks that it doesn't heed.
    HeedsNoMessages,
}

/// The calls of an integration of a use case.
pub(crate) fn run(use_case: &str, seed: u64, habit: Habit) -> World {
    let client = match (use_case, habit) {
        ("kiosk", _) => "Acme Kiosk 2.1.0",
        ("housekeeping", _) => "Tidy Rooms 5.0.3",
        ("accounting", _) => "Ledgerline Export v14",
        (_, Habit::NoVersion) => "Tablewise",
        ("point-of-sale", _) => "Tablewise 3.2",
        ("revenue-management", _) => "Yieldbird Pro 7.0.11",
        _ => "Upstairs Upsell 1.4.2",
    };
    let mut world = World::new(seed, client);
    world.patience = match habit {
        Habit::FixedPause => Patience::Fixed,
        Habit::GivesUp => Patience::GivesUp,
        _ => Patience::Grows,
    };
    match use_case {
        "kiosk" => kiosk(&mut world, habit),
        "housekeeping" => housekeeping(&mut world, habit),
        "accounting" => accounting(&mut world, habit),
        "point-of-sale" => point_of_sale(&mut world, habit),
        "revenue-management" => revenue(&mut world, habit),
        _ => upsell(&mut world, habit),
    }
    // Whoever meets failures as they should be met has some to meet.
    let patience = std::mem::replace(&mut world.patience, Patience::Grows);
    if patience == Patience::Grows {
        world.misfortunes();
    } else {
        trouble(&mut world, patience);
    }
    world
}

/// A time in which Mews fails, met in the integration's own way.
fn trouble(world: &mut World, patience: Patience) {
    world.patience = patience;
    for hour in [6.0, 12.0, 30.0] {
        world.at = hour * HOUR + 55.0 * MINUTE;
        let asked = format!("\"ReservationIds\":{},\"Limitation\":{{\"Count\":100}}", array(&world.ids(2)));
        world.fails_at_mews(RESERVATIONS, &asked);
    }
}

/// What changes seldom, once a day.
fn morning(world: &mut World, what: &[(&str, &str, bool)]) {
    for day in 0..HOURS.div_ceil(24) {
        world.at = f64::from(day) * 24.0 * HOUR + 10.0;
        // Two processes, each with a cache of its own.
        for _ in 0..2 {
            for (operation, fields, paged) in what {
                if *paged { world.list(operation, fields, 100, 37) } else { world.ask(operation, fields) }
            }
        }
    }
}

/// Guests check in at the kiosk and out again.
fn kiosk(world: &mut World, habit: Habit) {
    let service = world.id();
    let services = format!("\"ServiceIds\":[\"{service}\"]");
    morning(
        world,
        &[
            ("configuration/get", "", false),
            ("services/getAll", "", true),
            ("products/getAll", &services, true),
            ("languages/getAll", "", false),
        ],
    );
    for (number, at) in world.happenings(9).into_iter().enumerate() {
        world.at = at;
        let (reservation, guest) = (world.id(), world.id());
        world.pages(RESERVATIONS, &format!("\"Numbers\":[\"{}\"]", 10_000 + number), 10, 1, 1);
        world.pages(
            "customers/getAll",
            &format!("\"CustomerIds\":[\"{guest}\"],\"Extent\":{{\"Customers\":true}}"),
            1,
            1,
            1,
        );
        world.at += world.between(5.0, 40.0);
        let update = |phone: &str| {
            format!("\"CustomerId\":\"{guest}\",\"Email\":\"{number}@example.com\",\"Phone\":\"{phone}\"")
        };
        // Sometimes the guest mistypes.
        let mistypes = match habit {
            Habit::HalfRefused => number % 2 == 0,
            _ => number % 40 == 17,
        };
        if mistypes {
            world.refused("customers/update", &update("12"), 400, "Invalid Phone.");
            world.at += world.between(4.0, 15.0);
        }
        if !(mistypes && habit == Habit::NeverMends) {
            world.ask("customers/update", &update("+1 202 555 0143"));
        }
        let process = format!("\"ReservationId\":\"{reservation}\"");
        world.ask("reservations/start", &process);
        // The screen shows how it is now.
        world.pages(RESERVATIONS, &format!("\"Numbers\":[\"{}\"]", 10_000 + number), 10, 1, 1);
        // Guests go to their rooms, and some leave later the same day.
        if number % 3 == 0 {
            world.at += world.between(30.0, 200.0);
            world.pages("bills/getAll", &format!("\"CustomerIds\":[\"{guest}\"],\"State\":\"Open\""), 20, 2, 1);
            if number % 9 == 0 {
                world.refused("reservations/process", &process, 403, "The bill is not paid.");
                world.at += world.between(10.0, 60.0);
                world.ask(
                    "payments/addExternal",
                    &format!(
                        "\"AccountId\":\"{guest}\",\"Amount\":{{\"Currency\":\"EUR\",\"GrossValue\":{}.5,\"TaxCodes\":[]}},\"Type\":\"Cash\"",
                        number % 90
                    ),
                );
            }
            world.ask("reservations/process", &process);
        }
    }
    if habit == Habit::Polls {
        let mut last = 100.0;
        let mut at = 100.0;
        while at < f64::from(HOURS) * HOUR {
            world.at = at;
            let fields = format!("\"UpdatedUtc\":{}", World::interval(last, at));
            world.pages(RESERVATIONS, &fields, 100, 3, 1);
            last = at;
            at += 300.0 * world.between(0.6, 1.4);
        }
    }
}

/// Rooms are cleaned, as events tell of them.
fn housekeeping(world: &mut World, habit: Habit) {
    let extent = "\"Extent\":{\"Resources\":true}";
    morning(world, &[("configuration/get", "", false), ("resources/getAll", extent, true)]);
    for (number, at) in world.happenings(12).into_iter().enumerate() {
        world.at = at;
        let rooms = world.ids(1 + number % 5);
        world.told("ResourceUpdated", &rooms, 20);
        let asked = format!("\"ResourceIds\":{},{extent}", array(&rooms));
        world.pages("resources/getAll", &asked, rooms.len(), rooms.len(), 1);
        if habit == Habit::FetchesTwice && number % 30 == 1 {
            world.pages("resources/getAll", &asked, rooms.len(), rooms.len(), 1);
        }
        world.at += world.between(60.0, 600.0);
        let updates: Vec<String> = rooms
            .iter()
            .map(|room| format!("{{\"ResourceId\":\"{room}\",\"State\":{{\"Value\":\"Clean\"}}}}"))
            .collect();
        world.ask("resources/update", &format!("\"ResourceUpdates\":[{}]", updates.join(",")));
        // Mews announces that, too, a little later.
        let now = world.at;
        world.at += world.between(5.0, 300.0);
        world.told("ResourceUpdated", &rooms, 20);
        world.at = now;
        if number % 12 == 5 {
            let day = at + 24.0 * HOUR;
            let block = format!(
                "\"ResourceBlocks\":[{{\"ResourceId\":\"{}\",\"Name\":\"Repair\",\"Type\":\"OutOfOrder\",\"StartUtc\":\"{}\",\"EndUtc\":\"{}\"}}]",
                rooms[0],
                World::utc(day),
                World::utc(day + 4.0 * HOUR)
            );
            world.ask("resourceBlocks/add", &block);
        }
        if number % 30 == 7 {
            // Who else works on the room: read again, and once more.
            let update = format!(
                "\"ResourceUpdates\":[{{\"ResourceId\":\"{}\",\"State\":{{\"Value\":\"Inspected\"}}}}]",
                rooms[0]
            );
            world.refused("resources/update", &update, 409, "The resource was changed meanwhile.");
            world.pages("resources/getAll", &format!("\"ResourceIds\":[\"{}\"],{extent}", rooms[0]), 1, 1, 1);
            world.ask("resources/update", &update);
        }
    }
    for hour in 0..HOURS {
        // The day's stays, by the hour.
        world.at = f64::from(hour) * HOUR + world.between(0.0, 300.0);
        let begins = f64::from(hour / 24) * 24.0 * HOUR;
        let fields = format!("\"CollidingUtc\":{}", World::interval(begins, begins + 24.0 * HOUR));
        world.list(RESERVATIONS, &fields, 100, 140);
    }
    if habit == Habit::OneByOne {
        for hour in (1..HOURS).step_by(8) {
            world.at = f64::from(hour) * HOUR + 50.0 * MINUTE;
            for room in world.ids(60) {
                world.pages("resources/getAll", &format!("\"ResourceIds\":[\"{room}\"],{extent}"), 1, 1, 1);
            }
        }
    }
}

/// The day's items and payments are taken over, every half an hour.
fn accounting(world: &mut World, habit: Habit) {
    morning(world, &[("configuration/get", "", false), ("accountingCategories/getAll", "", true)]);
    for half in 2..2 * HOURS {
        let until = f64::from(half) * HOUR / 2.0;
        let since = World::interval(until - HOUR / 2.0, until);
        world.at = until + world.between(20.0, 500.0);
        for operation in ["orderItems/getAll", "payments/getAll", "bills/getAll"] {
            let total = 40 + (world.chance() * 700.0) as usize;
            let most = if habit == Habit::FirstPage { 1 } else { usize::MAX };
            world.pages(operation, &format!("\"UpdatedUtc\":{since}"), 200, total, most);
        }
        let accounts = world.ids(30);
        world.list(
            "customers/getAll",
            &format!("\"CustomerIds\":{},\"Extent\":{{\"Customers\":true}}", array(&accounts)),
            100,
            30,
        );
        if habit == Habit::Yesterday {
            world.at = until + 900.0;
            let day = World::interval(-24.0 * HOUR, 0.0);
            world.list("orderItems/getAll", &format!("\"ConsumedUtc\":{day}"), 1000, 300);
        }
    }
    // At night the whole day once more, with what was corrected.
    for day in 1..HOURS.div_ceil(24) {
        let midnight = f64::from(day) * 24.0 * HOUR;
        world.at = midnight + 2.0 * HOUR + 2000.0;
        let interval = World::interval(midnight - 24.0 * HOUR, midnight);
        for operation in ["orderItems/getAll", "payments/getAll"] {
            // A multiple of the page: the last one is empty.
            world.list(operation, &format!("\"CreatedUtc\":{interval}"), 500, 2000);
        }
    }
    // An interval that is too long, mended.
    world.at = 7.0 * HOUR + 40.0 * MINUTE;
    let fields = |from: f64| format!("\"CreatedUtc\":{},\"Limitation\":{{\"Count\":100}}", World::interval(from, 0.0));
    world.refused("bills/getAll", &fields(-80.0 * 24.0 * HOUR), 400, "Invalid CreatedUtc: the interval is too long.");
    world.at += 30.0;
    world.ask("bills/getAll", &fields(-20.0 * 24.0 * HOUR));
}

/// Meals are charged to rooms.
fn point_of_sale(world: &mut World, habit: Habit) {
    let service = world.id();
    let services = format!("\"ServiceIds\":[\"{service}\"]");
    morning(
        world,
        &[
            ("configuration/get", "", false),
            ("services/getAll", "", true),
            ("products/getAll", &services, true),
            ("outlets/getAll", "", true),
        ],
    );
    for (number, at) in world.happenings(10).into_iter().enumerate() {
        world.at = at;
        let guest = world.id();
        if habit == Habit::FetchesAlways {
            world.ask("configuration/get", "");
        }
        world.ask("customers/search", &format!("\"Name\":\"Guest {}\",\"Extent\":{{\"Customers\":true}}", number % 60));
        world.at += world.between(3.0, 30.0);
        let order = format!(
            "\"ServiceId\":\"{service}\",\"AccountId\":\"{guest}\",\"Items\":[{{\"Name\":\"Dinner\",\"UnitCount\":{},\"UnitAmount\":{{\"Currency\":\"EUR\",\"GrossValue\":18.5,\"TaxCodes\":[\"DE-S\"]}}}}]",
            1 + number % 4
        );
        if number % 50 == 20 {
            world.refused("orders/add", &order, 403, "The guest is not checked in.");
            world.at += world.between(60.0, 120.0);
        }
        world.ask("orders/add", &order);
        if habit == Habit::Twice && number % 10 == 3 {
            world.at += 0.4;
            world.ask("orders/add", &order);
        }
    }
    for hour in 1..HOURS {
        world.at = f64::from(hour) * HOUR + world.between(0.0, 1500.0);
        let since = World::interval(f64::from(hour - 1) * HOUR, f64::from(hour) * HOUR);
        world.list("orderItems/getAll", &format!("\"UpdatedUtc\":{since},\"ServiceIds\":[\"{service}\"]"), 100, 60);
    }
}

/// Prices follow what is booked.
fn revenue(world: &mut World, habit: Habit) {
    let service = world.id();
    let rates = world.ids(6);
    let services = format!("\"ServiceIds\":[\"{service}\"]");
    morning(
        world,
        &[
            ("configuration/get", "", false),
            ("services/getAll", "", true),
            ("rates/getAll", &services, true),
            ("resourceCategories/getAll", &services, true),
        ],
    );
    for hour in 1..HOURS {
        let now = f64::from(hour) * HOUR;
        world.at = now + world.between(10.0, 900.0);
        if habit == Habit::FetchesAlways {
            for _ in 0..3 {
                world.ask("configuration/get", "");
                world.at += 600.0;
            }
        }
        world.list(RESERVATIONS, &format!("\"UpdatedUtc\":{}", World::interval(now - HOUR, now)), 200, 90);
        // Midnights of the property's days.
        let midnight = (f64::from(hour / 24) + 1.0) * 24.0 * HOUR - 8.0 * HOUR;
        if hour % 2 == 0 {
            let span = format!(
                "\"FirstTimeUnitStartUtc\":\"{}\",\"LastTimeUnitStartUtc\":\"{}\"",
                World::utc(midnight),
                World::utc(midnight + 60.0 * 24.0 * HOUR)
            );
            world.ask(
                "services/getAvailability/2024-01-22",
                &format!("\"ServiceId\":\"{service}\",{span},\"Metrics\":[\"Occupied\",\"ActiveResources\"]"),
            );
            for rate in &rates {
                world.ask("rates/getPricing", &format!("\"RateId\":\"{rate}\",{span}"));
            }
        }
        for rate in &rates {
            let update = format!(
                "\"RateId\":\"{rate}\",\"PriceUpdates\":[{{\"FirstTimeUnitStartUtc\":\"{0}\",\"LastTimeUnitStartUtc\":\"{0}\",\"Value\":{1}}}]",
                World::utc(midnight),
                80 + hour
            );
            world.ask("rates/updatePrice", &update);
        }
        if hour == 22 || (habit == Habit::NeverMends && hour % 4 == 0) {
            let update = |value: &str| {
                format!(
                    "\"RateId\":\"{}\",\"PriceUpdates\":[{{\"FirstTimeUnitStartUtc\":\"{1}\",\"LastTimeUnitStartUtc\":\"{1}\",\"Value\":{value}}}]",
                    rates[hour as usize % 6],
                    World::utc(midnight + f64::from(hour) * 24.0 * HOUR)
                )
            };
            world.refused("rates/updatePrice", &update("-1"), 400, "Invalid PriceUpdates: Value must not be negative.");
            if habit != Habit::NeverMends {
                world.at += 20.0;
                world.ask("rates/updatePrice", &update("95"));
            }
        }
    }
}

/// Guests are offered more before they arrive, as webhooks tell of them.
fn upsell(world: &mut World, habit: Habit) {
    let service = world.id();
    let services = format!("\"ServiceIds\":[\"{service}\"]");
    morning(
        world,
        &[("configuration/get", "", false), ("services/getAll", "", true), ("products/getAll", &services, true)],
    );
    for (number, at) in world.happenings(8).into_iter().enumerate() {
        world.at = at;
        let reservations = world.ids(1 + number % 3);
        let took = if habit == Habit::AnswersLate && number % 50 == 9 { 8000 } else { 900 };
        world.told("ServiceOrderUpdated", &reservations, took);
        if habit == Habit::HeedsNoMessages {
            let message = world.ids(1);
            world.told("MessageAdded", &message, 30);
        }
        let asked = format!("\"ReservationIds\":{}", array(&reservations));
        world.pages(RESERVATIONS, &asked, 100, reservations.len(), 1);
        let guests = world.ids(reservations.len());
        let asked = format!("\"CustomerIds\":{},\"Extent\":{{\"Customers\":true}}", array(&guests));
        world.pages("customers/getAll", &asked, 100, guests.len(), 1);
        if number % 2 == 0 {
            world.at += world.between(30.0, 300.0);
            let product =
                format!("\"ReservationId\":\"{}\",\"ProductId\":\"{}\",\"Count\":1", reservations[0], world.id());
            if number % 44 == 10 {
                world.refused("reservations/addProduct", &product, 403, "The reservation is canceled.");
                world.at += world.between(60.0, 90.0);
            }
            world.ask("reservations/addProduct", &product);
        }
        if number % 4 == 1 {
            world.at += world.between(30.0, 90.0);
            let guest = if habit == Habit::RealGuests && number % 8 == 1 {
                format!(
                    "\"FirstName\":\"Katarzyna\",\"LastName\":\"Zielińska\",\"BirthDate\":\"1987-04-23\",\"Phone\":\"+48 602 917 38{}\"",
                    number % 10
                )
            } else {
                format!(
                    "\"FirstName\":\"Test\",\"LastName\":\"Guest {number}\",\"Email\":\"guest{number}@example.com\""
                )
            };
            world.ask("customers/add", &format!("{guest},\"OverwriteExisting\":true"));
        }
    }
    if habit == Habit::Polls {
        let mut at = 400.0;
        while at < f64::from(HOURS) * HOUR {
            world.at = at;
            let fields = format!("\"ScheduledStartUtc\":{}", World::interval(at, at + 72.0 * HOUR));
            world.pages(RESERVATIONS, &fields, 100, 30, 1);
            at += 120.0 * world.between(0.6, 1.4);
        }
    }
}
