//! Data of real people.

use crate::rule::text::Text;

pub(crate) const CARD_NUMBER: Text = Text {
    title: "What looks like a real card number was sent",
    why: "No real guest's data may be sent to the demo environment, and card numbers must never be sent in the \
          clear. Raised for numbers with a card brand's format and length and a valid check digit, except known \
          test cards. They are never shown in full.",
    advice: "Use test cards. If the number is real, treat it as leaked: it is in this log and at Mews.",
};

pub(crate) const PERSONAL: Text = Text {
    title: "What looks like real people's data was sent",
    why: "No real guest's data may be sent to the demo environment. Raised for mail addresses outside the \
          domains reserved for examples (example.com, .test and the like) and the declaration's own `domains`; \
          telephone numbers of 9 to 15 digits that are not in a range reserved for fiction and have no run of \
          five digits that are equal or count up or down; numbers of passports and the like, of 6 to 15 letters \
          and digits, by the same rule; bank accounts (IBAN) with their country's length and a valid checksum, \
          except known examples; a first and a last name, neither of them a placeholder, together with a date of \
          birth other than 1 January and 31 December, or with any of the others, in one object without an \
          example.com address. Mail addresses are shown by their first letters only, everything else not at all.",
    advice: "Use addresses at example.com and telephone numbers reserved for fiction (+1 202 555 01xx), or list \
             your own domains in the declaration.",
};
