"""Is this installation fit for use, and this network fit for a private training?"""
