// Codes that a command line shows and a person types. RFC 8628, section 6.1.

/** A code as it is compared: capitals, no blanks; the dash stays where one was written. */
export function tidyCode(text: string): string {
  return text.toUpperCase().replace(/[^A-Z0-9-]/g, "").replace(/^-+|-+$/g, "");
}
