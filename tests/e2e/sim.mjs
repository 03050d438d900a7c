// Runs tradewire-sim, which `cargo test` builds; SIM_BIN names another.

import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { atEnd } from './harness.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const SIM = process.env.SIM_BIN ?? path.resolve(HERE, '../../target/debug/tradewire-sim');

/** Runs it and returns `{code, text}`. */
export const sim = (...args) => new Promise((resolve, reject) => {
  execFile(SIM, args, { maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
    if (error && typeof error.code !== 'number') reject(error);
    else resolve({ code: error?.code ?? 0, text: stdout + stderr });
  });
});

export const simIsThere = () => assert.ok(existsSync(SIM), `${SIM} is missing: cargo build -p tradewire-sim`);

/** A directory for the current test. */
export function directory() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'tradewire-sim-'));
  atEnd(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
