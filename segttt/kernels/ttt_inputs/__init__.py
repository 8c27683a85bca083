"""What the TTT operators read: heads with rotary positions, rates, position scale."""
