// Style sheets come as texts: the bundler puts them in.
declare module '*.css' {
  const text: string;
  export default text;
}
