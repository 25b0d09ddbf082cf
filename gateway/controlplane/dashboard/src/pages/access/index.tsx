export { Setup } from './setup';
export { SignIn } from './sign_in';
