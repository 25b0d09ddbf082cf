"""What a provider is: where it lives, how it is given a credential, and what its refusals mean."""
