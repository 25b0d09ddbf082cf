"""Tools that look at a gateway from outside, as its clients do: nothing here knows how one is made."""
