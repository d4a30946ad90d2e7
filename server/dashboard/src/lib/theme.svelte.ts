// Light or dark: the system's choice unless the person chose.

import { remember, remembered } from './remember';

export type Choice = 'auto' | 'light' | 'dark';

const query = matchMedia('(prefers-color-scheme: dark)');

class Theme {
  choice = $state<Choice>(read());
  private system = $state<'light' | 'dark'>(query.matches ? 'dark' : 'light');
  readonly shown = $derived(this.choice === 'auto' ? this.system : this.choice);

  constructor() {
    query.addEventListener('change', (event) => (this.system = event.matches ? 'dark' : 'light'));
  }

  next(): void {
    this.choice = this.choice === 'auto' ? 'light' : this.choice === 'light' ? 'dark' : 'auto';
    remember('theme', this.choice);
  }
}

function read(): Choice {
  const stored = remembered('theme');
  return stored === 'light' || stored === 'dark' ? stored : 'auto';
}

export const theme = new Theme();
