//! What `@socket.io/redis-emitter` 5.1.0 (with notepack.io 3.0.1) published, as hexadecimal.
//!
//! Made with `const io = new Emitter(new Redis(port))`, Redis being that of ioredis 6, and a second
//! connection that ran PSUBSCRIBE `socket.io*` and printed each channel and `body.toString("hex")`. The
//! call stands above each. Nothing here was edited, but for the line breaks.

/// A channel, and a body in hexadecimal.
pub(super) type Heard = (&'static str, &'static str);

/// `io.to("user:ann").emit("portfolio:update",
/// { totalValue: 125430.5, positions: [{ symbol: "AAPL", quantity: 100 }] })`
pub(super) const ONE_ROOM: Heard = (
    "socket.io#/#user:ann#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192b0706f7274666f6c696f3a75706461746582aa746f74",
        "616c56616c7565cb40fe9f6800000000a9706f736974696f6e739182a673796d626f6ca44141504ca8717561",
        "6e7469747964a36e7370a12f83a5726f6f6d7391a8757365723a616e6ea5666c61677380a665786365707490",
    ),
);

/// `io.to("user:ann").to(["user:bob", "user:12"]).emit("trade:executed",
/// { tradeId: "t-1", symbol: "AAPL", quantity: 10, price: 175.25 })`
pub(super) const SEVERAL_ROOMS: Heard = (
    "socket.io#/#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ae74726164653a657865637574656484a77472616465",
        "4964a3742d31a673796d626f6ca44141504ca87175616e746974790aa57072696365cb4065e80000000000a3",
        "6e7370a12f83a5726f6f6d7393a8757365723a616e6ea8757365723a626f62a7757365723a3132a5666c6167",
        "7380a665786365707490",
    ),
);

/// `io.to("symbol:BRK.B").emit("quote:update", { price: 412.1 })`
pub(super) const ONE_SYMBOL: Heard = (
    "socket.io#/#symbol:BRK.B#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ac71756f74653a75706461746581a57072696365cb40",
        "79c1999999999aa36e7370a12f83a5726f6f6d7391ac73796d626f6c3a42524b2e42a5666c61677380a66578",
        "6365707490",
    ),
);

/// `io.emit("market:status", { status: "open", holiday: null, early: false, late: true })`
pub(super) const TO_ALL: Heard = (
    "socket.io#/#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ad6d61726b65743a73746174757384a6737461747573",
        "a46f70656ea7686f6c69646179c0a56561726c79c2a46c617465c3a36e7370a12f83a5726f6f6d7390a5666c",
        "61677380a665786365707490",
    ),
);

/// `io.to("user:ann").except("user:bob").emit("portfolio:update", { totalValue: 1 })`
pub(super) const EXCEPT: Heard = (
    "socket.io#/#user:ann#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192b0706f7274666f6c696f3a75706461746581aa746f74",
        "616c56616c756501a36e7370a12f83a5726f6f6d7391a8757365723a616e6ea5666c61677380a66578636570",
        "7491a8757365723a626f62",
    ),
);

/// `io.to("user:ann").volatile.compress(true).emit("trade:failed",
/// { error: "Insufficient funds" })`
pub(super) const FLAGS: Heard = (
    "socket.io#/#user:ann#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ac74726164653a6661696c656481a56572726f72b249",
        "6e73756666696369656e742066756e6473a36e7370a12f83a5726f6f6d7391a8757365723a616e6ea5666c61",
        "677382a8766f6c6174696c65c3a8636f6d7072657373c3a665786365707490",
    ),
);

/// `io.to("user:ann").emit("portfolio:update", { totalValue: Buffer.from([1, 2, 3]) })`
pub(super) const BINARY: Heard = (
    "socket.io#/#user:ann#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192b0706f7274666f6c696f3a75706461746581aa746f74",
        "616c56616c7565c403010203a36e7370a12f83a5726f6f6d7391a8757365723a616e6ea5666c61677380a665",
        "786365707490",
    ),
);

/// `io.to("user:ann").emit("portfolio:update", {
/// a: [0, -0, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991],
/// b: [-1, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991],
/// c: [0.1, -0.1, 1e-7, 1.7976931348623157e308, 5e-324, 1.5], d: [NaN, Infinity, -Infinity] })`
pub(super) const NUMBERS: Heard = (
    "socket.io#/#user:ann#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192b0706f7274666f6c696f3a75706461746584a1619b00",
        "007fcc80ccffcd0100cdffffce00010000ceffffffffcf0000000100000000cf001fffffffffffffa1629aff",
        "e0d0dfd080d1ff7fd18000d2ffff7fffd280000000d3ffffffff7fffffffd3ffe0000000000001a16396cb3f",
        "b999999999999acbbfb999999999999acb3e7ad7f29abcaf48cf0000000000000000cb0000000000000001cb",
        "3ff8000000000000a16493cb7ff8000000000000cb7ff0000000000000cbfff0000000000000a36e7370a12f",
        "83a5726f6f6d7391a8757365723a616e6ea5666c61677380a665786365707490",
    ),
);

/// `io.to("user:zoë ☃").emit("trade:failed",
/// { error: "žluťoučký 🐎 \"quoted\"\n\\ \u0001", "ключ": "x".repeat(40) })`
pub(super) const UNICODE: Heard = (
    "socket.io#/#user:zoë ☃#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ac74726164653a6661696c656482a56572726f72bfc5",
        "be6c75c5a56f75c48d6bc3bd20f09f908e202271756f746564220a5c2001a8d0bad0bbd18ed187d928787878",
        "78787878787878787878787878787878787878787878787878787878787878787878787878a36e7370a12f83",
        "a5726f6f6d7391ad757365723a7a6fc3ab20e29883a5666c61677380a665786365707490",
    ),
);

/// `io.emit("market:status", { opens: new Date("2025-01-15T14:30:00Z"),
/// closes: new Date(1736974800123), past: new Date("1960-01-01T00:00:00.5Z"),
/// nothing: undefined, list: [undefined] })`
pub(super) const DATES: Heard = (
    "socket.io#/#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ad6d61726b65743a73746174757384a56f70656e73d6",
        "ff6787c668a6636c6f736573d7ff1d535300678821d0a470617374c70cff1dcd6500ffffffffed300880a46c",
        "69737491c0a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490",
    ),
);

/// `io.to("user:ann").emit("portfolio:update", {}, 1)`
pub(super) const TWO_ARGUMENTS: Heard = (
    "socket.io#/#user:ann#",
    concat!(
        "93a7656d697474657283a47479706502a46461746193b0706f7274666f6c696f3a7570646174658001a36e73",
        "70a12f83a5726f6f6d7391a8757365723a616e6ea5666c61677380a665786365707490",
    ),
);

/// `io.emit("market:status")`
pub(super) const NO_ARGUMENT: Heard = (
    "socket.io#/#",
    concat!(
        "93a7656d697474657283a47479706502a46461746191ad6d61726b65743a737461747573a36e7370a12f83a5",
        "726f6f6d7390a5666c61677380a665786365707490",
    ),
);

/// `io.of("/admin").emit("market:status", { status: "open" })`
pub(super) const NAMESPACE: Heard = (
    "socket.io#/admin#",
    concat!(
        "93a7656d697474657283a47479706502a46461746192ad6d61726b65743a73746174757381a6737461747573",
        "a46f70656ea36e7370a62f61646d696e83a5726f6f6d7390a5666c61677380a665786365707490",
    ),
);
