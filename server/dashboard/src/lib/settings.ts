// What the server says in the page's head, and the user whom the address names.

export interface Settings {
  /** "session": the cookie says who it is; "trust": the page is asked. */
  auth: 'session' | 'trust';
  /** Users to offer; those of the demo. */
  users: string[];
}

const meta = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content ?? '';

export function readSettings(): Settings {
  const auth = meta('tradewire-auth') === 'session' ? 'session' : 'trust';
  const users = meta('tradewire-users')
    .split(' ')
    .filter((user) => user !== '');
  return { auth, users };
}

/** In the address, so that a reload, a bookmark and the back button keep it. */
export const userOfAddress = () => new URLSearchParams(location.search).get('user') ?? '';

export function addressOf(user: string): string {
  return user === '' ? location.pathname : `?${new URLSearchParams({ user })}`;
}

/** In trust mode any session id will do; one per page, which `replaces` needs to stay the same. */
export function newSession(): string {
  // Not randomUUID: that is missing where the page comes over plain HTTP from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `dashboard-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
