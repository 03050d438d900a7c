// Asks who is looking, where the server believes what it is told (AUTH_MODE=trust).

import { type FormEvent, useId, useState } from 'react';

interface Props {
  users: readonly string[];
  onPick: (user: string) => void;
}

export function UserPicker({ users, onPick }: Props) {
  const [typed, setTyped] = useState('');
  const id = useId();
  const hint = useId();

  function submit(event: FormEvent) {
    event.preventDefault();
    if (typed.trim() !== '') onPick(typed.trim());
  }

  return (
    <main className="picker">
      <p className="brand">
        <img src="/favicon.svg" alt="" width="24" height="24" />
        Tradewire
      </p>
      <h1>Whose dashboard?</h1>
      {users.length > 0 && (
        <>
          <p>Users of the demo trade by themselves:</p>
          <ul>
            {users.map((user) => (
              <li key={user}>
                <button type="button" onClick={() => onPick(user)}>
                  {user}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
      <form onSubmit={submit}>
        <label htmlFor={id}>{users.length > 0 ? 'Or another user id' : 'User id'}</label>
        <div className="field">
          <input
            id={id}
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={256}
            aria-describedby={hint}
          />
          <button type="submit">Open</button>
        </div>
        <p id={hint} className="hint">
          This server believes who you say you are. In production it asks for a session.
        </p>
      </form>
    </main>
  );
}
