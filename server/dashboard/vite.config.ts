// Builds the page for the binary to embed, and serves it during development in front of a running tradewire.

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const server = process.env.TRADEWIRE_URL ?? 'http://127.0.0.1:3000';

/** The metas that the server puts into the page it serves itself. */
function settingsOfServer(): Plugin {
  return {
    name: 'tradewire-settings',
    apply: 'serve',
    async transformIndexHtml(html) {
      const page = await fetch(server)
        .then((answer) => answer.text())
        .catch(() => '');
      return html.replace(/<meta name="tradewire-[^>]*>/g, (meta) => {
        const name = meta.match(/name="[^"]*"/)?.[0] ?? '';
        return page.match(new RegExp(`<meta ${name}[^>]*>`))?.[0] ?? meta;
      });
    },
  };
}

/**
 * Adds the stock client, for pages that load it from the server as they did from Node's, and beside each file
 * that compresses well the same as `.gz`, so that the binary needs no compressor.
 */
function forEmbedding(): Plugin {
  let folder = '';
  return {
    name: 'tradewire-embedding',
    apply: 'build',
    configResolved(config) {
      folder = path.resolve(config.root, config.build.outDir);
    },
    closeBundle() {
      const client = path.resolve(import.meta.dirname, 'node_modules/socket.io-client/dist');
      cpSync(client, path.join(folder, 'socket.io'), { recursive: true });
      for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        if (!/\.(js|css|map)$/.test(name)) continue;
        const file = path.join(folder, name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), settingsOfServer(), forEmbedding()],
  // A content security policy without `data:` or inline scripts has to be enough.
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  server: {
    proxy: {
      '/socket.io': { target: server, ws: true },
      '/api': server,
    },
  },
});
