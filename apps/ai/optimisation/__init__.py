"""What a tenant's past questions say about what might be had for less. Pure: no table is read here."""
