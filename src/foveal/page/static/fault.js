// An error whose message is a sentence for the person at the page.
export class Fault extends Error {}
