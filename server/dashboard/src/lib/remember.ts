// The few choices that outlive the page. Storage may be forbidden; then nothing is remembered.

type Choice = 'language' | 'theme';

export function remembered(choice: Choice): string | null {
  try {
    return localStorage.getItem(`barid.${choice}`);
  } catch {
    return null;
  }
}

export function remember(choice: Choice, value: string): void {
  try {
    localStorage.setItem(`barid.${choice}`, value);
  } catch {
    // A private window: the choice lasts as long as the page.
  }
}
