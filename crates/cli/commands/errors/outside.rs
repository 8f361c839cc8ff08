//! Codes of steps that reach outside of the run: datastores, and servers over HTTP.

use super::Codes;

pub(super) const STORES: Codes = &[
    (
        "store.entity",
        "a row, an update or a `where` does not fit its collection: a column that is not there or lacks its value, or a \
         value of another type. Nothing is turned into another type but a number into a wider one, and a text into a date \
         or the like.",
    ),
    (
        "store.unknown_collection",
        "a `collection_name` with holes gave a name that the datastore does not declare.",
    ),
    ("store.no_entity", "`unpack_single_entity_from_list` found no row to unpack."),
    ("store.too_many", "more than 100,000 rows would have been read. Ask for fewer, by `where`, `limit` or SQL."),
    (
        "store.value",
        "a table holds what the flow's types do not allow, put there by another program; or a query gave bytes, which have \
         no type here.",
    ),
    (
        "store.schema",
        "a table that is there lacks a column that the flow declares, or has it in another type; or the table is missing \
         on the server. Nothing was written.",
    ),
    (
        "store.open",
        "the file or the server of a datastore cannot be opened; the message says what the system answered.",
    ),
    (
        "store.url",
        "the `url` of a Postgres datastore is no address. It is not shown, because it may hold a password.",
    ),
    ("store.denied", "the server does not let this user in, or not do this."),
    (
        "store.busy",
        "somebody else holds what the step needs, or the server has no room for more connections. Try again.",
    ),
    ("store.timeout", "a statement took longer than the datastore's `timeout`."),
    ("store.query", "the datastore does not understand the query, or one of its values; the message is its own."),
    ("store.not_read_only", "a query does more than read. It was not run; there are steps that change rows."),
    ("store.failed", "the datastore did not do what it was asked; the message is its own."),
    (
        "store.change",
        "a kept change of a memory store cannot be read. This is a mistake in flowrun; please report it.",
    ),
    ("search.query", "the question is empty."),
    ("search.column", "the column to search is not there, or holds what is no text."),
    (
        "search.vectors",
        "the embedding model gave vectors of different lengths, or none. Did it change during the run?",
    ),
];

pub(super) const HTTP: Codes = &[
    (
        "http.status",
        "a server answered with a status other than 2xx, and went on doing so for all tries where such a status may pass. The \
         details hold the status as a number and the beginning of the reply. `ignore_bad_status: true` takes every status.",
    ),
    (
        "http.timeout",
        "no complete reply came in time. Raise `timeout`, or ask for less at once. A POST or PATCH is not sent again, \
         because the server may have done it; `idempotent: true` says that it does no harm.",
    ),
    (
        "http.connect",
        "there was no connection to the server, or it broke before the reply was complete: a name that does not exist, \
         nobody who listens, a certificate that does not fit. Proxies of the environment are not used.",
    ),
    (
        "http.refused_url",
        "the address may not be asked. A value makes it another one than was written (`..` or nothing in the path, a host \
         without `url_allow_list`), it is not in the list, it is not encrypted, or it leads to a private network or to this \
         machine under another name. The address of a redirect, and what a name leads to, are judged in the same way. The \
         message says which rule it was and how to allow it where that is meant.",
    ),
    (
        "http.too_large",
        "the reply is larger than `max_response_bytes`, and was not read to its end. Ask for less at once, or raise it.",
    ),
    (
        "http.output",
        "a query of `extract:` has no result, or fails, on the reply, or finds what is not of the type under `types:`; or the \
         reply is no JSON, or no text. Correct the query, or give the output a value under `defaults:`.",
    ),
    (
        "http.request",
        "the request cannot be sent as it is: a header or cookie with a line break, a method that HTTP does not have, a list \
         or an object where only a text can be sent.",
    ),
];
