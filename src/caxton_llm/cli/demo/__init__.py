"""`caxton demo`: what a gateway is, shown in a minute."""
