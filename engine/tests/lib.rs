//! Tests of the engine, in a package of their own: what they need must not stand under the engine.
