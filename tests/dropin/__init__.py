"""The Library Server beside, and inside, a stand-in for the Flask backend, behind the guide's own nginx."""
